/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading headers. bpf_skb_load_bytes is used throughout: it also reads what is not linear. */
#ifndef FLOWBIND_PARSING_H
#define FLOWBIND_PARSING_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>

#include <bpf/bpf_endian.h>

#include "maps.h"

#ifndef IPPROTO_MINIMAL
#define IPPROTO_MINIMAL 55
#endif
#ifndef IPPROTO_UDPLITE
#define IPPROTO_UDPLITE 136
#endif
#ifndef IPPROTO_DCCP
#define IPPROTO_DCCP 33
#endif
#ifndef IPPROTO_SCTP
#define IPPROTO_SCTP 132
#endif

#define IP_DF 0x4000
#define IP_OFFSET_AND_MORE 0x3fff
#define IP_OFFSET 0x1fff
#define IP_VERSION_4 4
#define IP_MIN_IHL 5
#define DS_MASK 0xfc
#define ECN_MASK 0x03
#define ECN_CE 0x03
#define UDP_HEADER 8
#define TCP_DATA_OFFSET 12

/* <linux/icmp.h> draws in the C library's headers, which have no idea of this target. */
struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be16 id;
	__be16 sequence;
};

struct ports {
	__be16 source;
	__be16 destination;
};

/* The beginning of a TCP header, as far as its flags. */
struct tcp_start {
	struct ports ports;
	__be32 sequence;
	__be32 acknowledgement;
	__u8 data_offset;
	__u8 flags;
	__be16 window;
};

#define TCP_SYN 0x02

/* The octets of the packet whose IPv4 header is at `offset`. A short frame is padded behind them,
 * and what segmentation is still to cut up may be longer than the header can say. */
static __always_inline __u32 ipv4_length(struct __sk_buff *skb, __u32 offset,
					 const struct iphdr *ip)
{
	return skb->gso_size ? skb->len - offset : bpf_ntohs(ip->tot_len);
}

/* Load an IPv4 header. Returns its length in octets, or 0 for what is not a whole packet. */
static __always_inline __u32 load_ipv4(struct __sk_buff *skb, __u32 offset, struct iphdr *ip)
{
	__u32 header, length;

	if (bpf_skb_load_bytes(skb, offset, ip, sizeof(*ip)))
		return 0;
	header = ip->ihl * 4u;
	length = ipv4_length(skb, offset, ip);
	if (ip->version != IP_VERSION_4 || ip->ihl < IP_MIN_IHL)
		return 0;
	if (length < header || offset + length > skb->len)
		return 0;
	return header;
}

/* The octets of the largest IP packet that a network will see of this one. */
static __always_inline __u32 segment_length(struct __sk_buff *skb, __u32 offset, __u32 header,
					    const struct iphdr *ip)
{
	__u8 data_offset = 0;

	if (!skb->gso_size)
		return ipv4_length(skb, offset, ip);
	if (ip->protocol != IPPROTO_TCP)
		return header + UDP_HEADER + skb->gso_size;
	bpf_skb_load_bytes(skb, offset + header + TCP_DATA_OFFSET, &data_offset, 1);
	return header + (data_offset >> 4) * 4u + skb->gso_size;
}

static __always_inline int has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP ||
	       protocol == IPPROTO_DCCP || protocol == IPPROTO_UDPLITE;
}

/* Load the ports behind an IPv4 header, and of a TCP header the flags along with them. */
static __always_inline int load_ports(struct __sk_buff *skb, __u32 at, __u8 protocol,
				      struct ports *ports, __u8 *tcp_flags)
{
	struct tcp_start tcp;

	if (protocol == IPPROTO_TCP && !bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp))) {
		*ports = tcp.ports;
		*tcp_flags = tcp.flags;
		return 0;
	}
	return bpf_skb_load_bytes(skb, at, ports, sizeof(*ports));
}

/* Fill a flow key from an inner packet; returns the flags of TCP, 0 for all else. `toward_node`:
 * source is the correspondent.
 * Later fragments carry neither ports nor SPI; fragments.h finds those of the first. */
static __always_inline __u8 load_flow_key(struct __sk_buff *skb, __u32 offset, __u32 header,
					  const struct iphdr *ip, int toward_node,
					  struct flow_key *key)
{
	struct ports ports = {};
	__u8 tcp_flags = 0;
	__be32 spi = 0;

	__builtin_memset(key, 0, sizeof(*key));
	key->remote = toward_node ? ip->saddr : ip->daddr;
	key->local = toward_node ? ip->daddr : ip->saddr;
	key->protocol = ip->protocol;
	key->ds = ip->tos & DS_MASK;
	if (bpf_ntohs(ip->frag_off) & IP_OFFSET)
		return 0;
	if (has_ports(ip->protocol)) {
		if (load_ports(skb, offset + header, ip->protocol, &ports, &tcp_flags))
			return 0;
		key->remote_port = toward_node ? ports.source : ports.destination;
		key->local_port = toward_node ? ports.destination : ports.source;
		key->has = NEEDS_PORTS;
	} else if (ip->protocol == IPPROTO_ESP || ip->protocol == IPPROTO_AH) {
		/* The SPI opens an ESP header and follows four octets of an AH header. */
		__u32 at = offset + header + (ip->protocol == IPPROTO_AH ? 4 : 0);

		if (bpf_skb_load_bytes(skb, at, &spi, sizeof(spi)))
			return 0;
		key->spi = spi;
		key->has = NEEDS_SPI;
	}
	return tcp_flags;
}

static __always_inline __sum16 fold_checksum(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* What an IPv4 header without options sums up to: 0 if it is intact, and with a checksum of 0 the
 * checksum that it ought to have. */
static __always_inline __sum16 ipv4_checksum(const struct iphdr *ip)
{
	const __u16 *half = (const __u16 *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < (int)(sizeof(*ip) / sizeof(*half)); i++)
		sum += half[i];
	return fold_checksum(sum);
}

#endif
