/* SPDX-License-Identifier: GPL-2.0-only */
/* Putting an outer header on and taking it off: IP-in-IP (RFC 2003) and GRE (RFC 2784). */
#ifndef FLOWBIND_TUNNEL_H
#define FLOWBIND_TUNNEL_H

#include <linux/pkt_cls.h>

#include "maps.h"
#include "parsing.h"

#define OUTER_TTL 64

struct gre_header {
	__be16 flags;
	__be16 protocol;
};

/* C, reserved, K, S and the bit behind it; the version. RFC 2784 2.3 and erratum 3719. */
#define GRE_REFUSED_FLAGS 0xf800
#define GRE_VERSION 0x0007

struct outer_gre {
	struct iphdr ip;
	struct gre_header gre;
};

/*
 * Make room for the outer headers in front of the inner IP header.
 *
 * Segments that already fit keep their size. Those that a sender filled up to the MTU of its own
 * link are made smaller by the kernel, which is what lets a TCP connection through unharmed.
 */
static __always_inline int make_room(struct __sk_buff *skb, __u32 octets, __u64 flags,
				     const struct settings *settings)
{
	/* 40: the inner IP and TCP headers without options. */
	if (!skb->gso_size || skb->gso_size + 40 <= settings->mtu)
		flags |= BPF_F_ADJ_ROOM_FIXED_GSO;
	return bpf_skb_adjust_room(skb, octets, BPF_ADJ_ROOM_MAC, flags);
}

static __always_inline void fill_outer(struct iphdr *outer, const struct path *path,
				       const struct iphdr *inner, __u32 total)
{
	__builtin_memset(outer, 0, sizeof(*outer));
	outer->version = IP_VERSION_4;
	outer->ihl = IP_MIN_IHL;
	/* RFC 6040 compatibility mode: DSCP copied, the outer header not ECN-capable. */
	outer->tos = inner->tos & DS_MASK;
	outer->tot_len = bpf_htons(total);
	outer->frag_off = inner->frag_off & bpf_htons(IP_DF);
	if (!outer->frag_off)
		outer->id = (__be16)bpf_get_prandom_u32();
	outer->ttl = OUTER_TTL;
	outer->protocol = path->protocol;
	outer->saddr = path->local;
	outer->daddr = path->remote;
	outer->check = ipv4_checksum(outer);
}

/* Encapsulate. `mac_length` octets lie in front of the inner IP header. Returns 0 or an error. */
static __always_inline int encapsulate(struct __sk_buff *skb, __u32 mac_length,
				       const struct path *path, const struct iphdr *inner,
				       const struct settings *settings)
{
	__u32 inner_length = skb->len - mac_length;
	struct outer_gre outer = {};

	if (path->protocol == IPPROTO_GRE) {
		if (make_room(skb, sizeof(outer),
			      BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_GRE, settings))
			return -1;
		fill_outer(&outer.ip, path, inner, inner_length + sizeof(outer));
		outer.gre.protocol = bpf_htons(ETH_P_IP);
		return bpf_skb_store_bytes(skb, mac_length, &outer, sizeof(outer), 0);
	}
	if (make_room(skb, sizeof(outer.ip), BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, settings))
		return -1;
	fill_outer(&outer.ip, path, inner, inner_length + sizeof(outer.ip));
	return bpf_skb_store_bytes(skb, mac_length, &outer.ip, sizeof(outer.ip), 0);
}

/* Send a packet that carries an Ethernet header toward the far end of a path. */
static __always_inline int send_through(struct __sk_buff *skb, const struct path *path,
					__u32 from_ifindex)
{
	struct bpf_fib_lookup route = {};
	struct bpf_redir_neigh next_hop = {};
	long result;

	if (path->ifindex)
		return bpf_redirect_neigh(path->ifindex, NULL, 0, 0);
	route.family = 2; /* AF_INET */
	route.l4_protocol = path->protocol;
	route.ipv4_src = path->local;
	route.ipv4_dst = path->remote;
	route.ifindex = from_ifindex;
	result = bpf_fib_lookup(skb, &route, sizeof(route), 0);
	if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH) {
		count(COUNTER_DROP_NO_ROUTE);
		return TC_ACT_SHOT;
	}
	next_hop.nh_family = 2;
	next_hop.ipv4_nh = route.ipv4_dst;
	return bpf_redirect_neigh(route.ifindex, &next_hop, sizeof(next_hop), 0);
}

/* Whether a path of this node ends at the outer source and destination. Returns it or NULL. */
static __always_inline const struct path *path_of(const struct node *node, __be32 local,
						  __be32 remote)
{
	for (__u32 i = 0; i < MAX_PATHS; i++) {
		const struct path *path = &node->paths[i];

		if (i >= node->path_count)
			break;
		if (path->remote == remote && path->local == local)
			return path;
	}
	return NULL;
}

#endif
