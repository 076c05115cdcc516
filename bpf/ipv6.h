/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IPv6 inside the tunnels (RFC 5454): maps of its own, and reading headers.
 *
 * Nodes and paths are those of IPv4. Prefixes lead to a home address, and from there on a packet goes
 * the same ways. Nothing here is passed by for IPv4.
 */
#ifndef FLOWBIND_IPV6_H
#define FLOWBIND_IPV6_H

#include <linux/ipv6.h>

#include "parsing.h"

#define IP_VERSION_6 6
#define IP6_FLOW_LABEL 0x000fffff
#define IP6_MORE_FRAGMENTS 0x0001
#define IP6_FRAGMENT_OFFSET 0xfff8
/* RFC 4213 3.2.1: the static MTU of a tunnel. The outer packet may be cut up on its way. */
#define IP6_TUNNEL_MTU 1280
/* More than this many in a row nobody sends. */
#define MAX_EXTENSION_HEADERS 8
#define MAX_FLOWS6 (1 << 16)

struct address6 {
	__be32 words[4];
};

/* As a trie of prefixes wants its keys: how many bits count. */
struct prefix_key {
	__u32 length;
	struct address6 prefix;
};

/* A range of addresses in host order: the upper halves, the lower halves. */
struct range6 {
	__u64 start[2];
	__u64 last[2];
};

/* A flow rule as struct rule, for IPv6. One for IPv4 keeps its place free: it NEEDS_OTHER. */
struct rule6 {
	struct range6 source;
	struct range6 destination;
	__u32 spi_start;
	__u32 spi_last;
	__u32 flow_label_start;
	__u32 flow_label_last;
	__u16 source_port_start;
	__u16 source_port_last;
	__u16 destination_port_start;
	__u16 destination_port_last;
	__u8 ds_start;
	__u8 ds_last;
	__u8 protocol_start;
	__u8 protocol_last;
	__u8 needs;
	__u8 terms;
	__u8 path;
	__u8 bid_count;
	__u8 bids[MAX_BIDS];
};

/* What no packet has: the rule is about the other version of IP. */
#define NEEDS_OTHER 128
#define TERM_FLOW_LABEL 128

struct policy6 {
	struct rule6 rules[MAX_RULES];
};

/* A flow as both ends see it: remote is the correspondent, local is in a prefix of the node. */
struct flow6_key {
	struct address6 remote;
	struct address6 local;
	__be16 remote_port;
	__be16 local_port;
	__be32 spi;
	__u32 flow_label; /* host order */
	__u8 protocol; /* of the upper layer */
	__u8 ds; /* upper six bits */
	__u8 has;
	__u8 reserved;
};

/* A packet that was cut up, and the flow that its first fragment belongs to. */
struct fragment6_key {
	struct address6 remote;
	struct address6 local;
	__u32 id; /* host order */
	__u32 toward_node;
};

struct first_fragment6 {
	__u64 seen_ns;
	struct flow6_key flow;
};

/* What is known of the packet at hand. Not on the stack, whose 512 octets the programs share with
 * the functions that they call. Copies of a packet run through here too: what is needed behind them
 * is read before. */
struct packet6 {
	struct flow6_key key;
	struct flow flow;
	struct fragment6_key fragment;
	struct first_fragment6 first;
	struct prefix_key prefix;
	__be32 home_address;
	__u32 octets; /* of the packet; of many segments at once, all of them */
	__u32 largest; /* octets of the largest packet that a network will see of this one */
	__u8 traffic_class;
	__u8 hop_limit;
	__u8 first_header; /* the one behind the IPv6 header */
	__u8 is_fragment;
	__u8 is_later_fragment;
	/* Of a tunnel that the packet came by. */
	__u8 outer_protocol;
	__u8 outer_tos;
	__u8 reserved;
	__be32 outer_source;
	__be32 outer_destination;
	__be16 outer_source_port;
	__be16 outer_destination_port;
	__u32 overhead;
	__u32 room; /* octets that the outer headers leave for the packet */
	__u32 syn_at; /* where the TCP header of a SYN begins; 0 for what is none */
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_NODES);
	__type(key, struct prefix_key);
	__type(value, __be32);
} prefixes_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_NODES);
	__type(key, struct policy_key);
	__type(value, struct policy6);
} policies6_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FLOWS6);
	__type(key, struct flow6_key);
	__type(value, struct flow);
} flows6_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FRAGMENTED);
	__type(key, struct fragment6_key);
	__type(value, struct first_fragment6);
} fragments6_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct packet6);
} packet6_map SEC(".maps");

static __always_inline struct packet6 *packet6(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&packet6_map, &key);
}

struct extension_header {
	__u8 next;
	__u8 length; /* in units of 8 octets, without the first */
	__be16 offset_and_more; /* of a fragment header */
	__be32 id;
};

/*
 * Step over the extension headers from `at` on, of which the first is `next`; notes the protocol
 * behind them. Returns where that begins, or 0 where it is not in this packet.
 *
 * An Authentication Header ends it, as in IPv4: rules know it by its SPI.
 */
static __always_inline __u32 walk_headers(struct __sk_buff *skb, __u32 at, __u8 next,
					  struct packet6 *packet)
{
	for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
		struct extension_header header = {};
		int is_fragment = next == IPPROTO_FRAGMENT;

		packet->key.protocol = next;
		if (!is_fragment && next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING &&
		    next != IPPROTO_DSTOPTS)
			return at;
		if (bpf_skb_load_bytes(skb, at, &header, sizeof(header)))
			return 0;
		next = header.next;
		at += is_fragment ? sizeof(header) : (header.length + 1) * 8u;
		if (!is_fragment)
			continue;
		packet->is_fragment = 1;
		packet->fragment.id = bpf_ntohl(header.id);
		if (header.offset_and_more & bpf_htons(IP6_FRAGMENT_OFFSET)) {
			packet->key.protocol = next;
			packet->is_later_fragment = 1;
			return 0;
		}
	}
	packet->key.protocol = next;
	return 0;
}

/* What a rule may ask for behind the IPv6 headers. */
static __always_inline void load_upper_layer(struct __sk_buff *skb, __u32 at, int toward_node,
					     struct packet6 *packet)
{
	struct flow6_key *key = &packet->key;
	struct ports ports = {};
	__u8 tcp_flags = 0;
	__be32 spi = 0;

	if (has_ports(key->protocol)) {
		if (load_ports(skb, at, key->protocol, &ports, &tcp_flags))
			return;
		packet->syn_at = tcp_flags & TCP_SYN ? at : 0;
		key->remote_port = toward_node ? ports.source : ports.destination;
		key->local_port = toward_node ? ports.destination : ports.source;
		key->has = NEEDS_PORTS;
	} else if (key->protocol == IPPROTO_ESP || key->protocol == IPPROTO_AH) {
		at += key->protocol == IPPROTO_AH ? 4 : 0;
		if (bpf_skb_load_bytes(skb, at, &spi, sizeof(spi)))
			return;
		key->spi = spi;
		key->has = NEEDS_SPI;
	}
}

/* The octets of the largest packet that a network will see; `upper` is where its headers end. */
static __always_inline __u32 largest_of(struct __sk_buff *skb, __u32 offset, __u32 upper,
					const struct packet6 *packet)
{
	__u8 data_offset = 0;

	if (!skb->gso_size || !upper)
		return packet->octets;
	if (packet->key.protocol != IPPROTO_TCP)
		return upper - offset + UDP_HEADER + skb->gso_size;
	bpf_skb_load_bytes(skb, upper + TCP_DATA_OFFSET, &data_offset, 1);
	return upper - offset + (data_offset >> 4) * 4u + skb->gso_size;
}

/*
 * Read the IPv6 packet at `offset` into packet6_map. `toward_node`: its source is the correspondent.
 * Returns 0 for what is not a whole packet. Not static: the verifier looks at it once, not again for
 * each of the states that a caller may be in.
 */
__noinline int read_packet6(struct __sk_buff *skb, __u32 offset, __u32 toward_node)
{
	struct packet6 *packet = packet6();
	struct ipv6hdr ip;
	__u32 word, upper;

	if (!packet || bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)))
		return 0;
	if (ip.version != IP_VERSION_6)
		return 0;
	packet->octets = skb->gso_size ? skb->len - offset :
					 sizeof(ip) + bpf_ntohs(ip.payload_len);
	if (offset + packet->octets > skb->len)
		return 0;
	word = bpf_ntohl(*(__be32 *)&ip);
	__builtin_memset(&packet->key, 0, sizeof(packet->key));
	__builtin_memcpy(&packet->key.remote, toward_node ? &ip.saddr : &ip.daddr, 16);
	__builtin_memcpy(&packet->key.local, toward_node ? &ip.daddr : &ip.saddr, 16);
	packet->traffic_class = word >> 20;
	packet->key.ds = packet->traffic_class & DS_MASK;
	packet->key.flow_label = word & IP6_FLOW_LABEL;
	packet->hop_limit = ip.hop_limit;
	packet->first_header = ip.nexthdr;
	packet->is_fragment = 0;
	packet->is_later_fragment = 0;
	packet->syn_at = 0;
	packet->fragment.remote = packet->key.remote;
	packet->fragment.local = packet->key.local;
	packet->fragment.toward_node = toward_node;
	upper = walk_headers(skb, offset + sizeof(ip), ip.nexthdr, packet);
	if (upper)
		load_upper_layer(skb, upper, toward_node, packet);
	packet->largest = largest_of(skb, offset, upper, packet);
	return 1;
}

/* Find out whose the local end of the packet is. Returns 0 for nobody's. */
static __always_inline __be32 find_home_address(struct packet6 *packet)
{
	const __be32 *home_address;

	packet->prefix.length = sizeof(packet->key.local) * 8;
	packet->prefix.prefix = packet->key.local;
	home_address = bpf_map_lookup_elem(&prefixes_map, &packet->prefix);
	packet->home_address = home_address ? *home_address : 0;
	return packet->home_address;
}

/* What stays on a link, or may not leave it (RFC 4291 2.4): fe80::/10 and ff00::/8. */
static __always_inline int is_of_link(const struct address6 *address)
{
	__u32 word = bpf_ntohl(address->words[0]);

	return word >> 24 == 0xff || word >> 22 == 0xfe80 >> 6;
}

static __always_inline int is_unspecified_or_loopback(const struct address6 *address)
{
	return !(address->words[0] | address->words[1] | address->words[2]) &&
	       bpf_ntohl(address->words[3]) <= 1;
}

#endif
