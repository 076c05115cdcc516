/* SPDX-License-Identifier: GPL-2.0-only */
/* Putting an outer header on and sending it: IP-in-IP (RFC 2003) and GRE (RFC 2784). */
#ifndef FLOWBIND_TUNNEL_H
#define FLOWBIND_TUNNEL_H

#include <linux/errno.h>

#include "maps.h"
#include "parsing.h"

#define OUTER_TTL 64
#define LARGEST_TOTAL_LENGTH 0xffff
#define FAMILY_IPV4 2

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
 * A packet of many segments keeps their size: they were found to fit before. One that has just left
 * another tunnel still counts as encapsulated, its inner headers where they were, and the kernel
 * refuses to mark it twice. Segments at once keep the first mark, so they pass from one mobile node
 * to another only where both use the same encapsulation.
 */
static __always_inline long make_room(struct __sk_buff *skb, __u32 octets, __u64 marks)
{
	long result = bpf_skb_adjust_room(skb, octets, BPF_ADJ_ROOM_MAC,
					  marks | BPF_F_ADJ_ROOM_FIXED_GSO);

	if (result == -EALREADY)
		result = bpf_skb_adjust_room(skb, octets, BPF_ADJ_ROOM_MAC,
					     BPF_F_ADJ_ROOM_FIXED_GSO);
	return result;
}

static __always_inline void fill_outer(struct iphdr *outer, const struct path *path,
				       const struct iphdr *inner, __u32 total)
{
	__builtin_memset(outer, 0, sizeof(*outer));
	outer->version = IP_VERSION_4;
	outer->ihl = IP_MIN_IHL;
	/* RFC 6040 compatibility mode: DSCP copied, the outer header not ECN-capable. */
	outer->tos = inner->tos & DS_MASK;
	/* Only what is cut up before any wire can be longer; Linux writes 0 there too. */
	outer->tot_len = total <= LARGEST_TOTAL_LENGTH ? bpf_htons(total) : 0;
	outer->frag_off = inner->frag_off & bpf_htons(IP_DF);
	if (!outer->frag_off)
		outer->id = (__be16)bpf_get_prandom_u32();
	outer->ttl = OUTER_TTL;
	outer->protocol = path->protocol;
	outer->saddr = path->local;
	outer->daddr = path->remote;
	outer->check = ipv4_checksum(outer);
}

/* Encapsulate the `length` octets of a packet that `mac_length` octets lie in front of.
 * Returns the octets of the outer packet, or 0. */
static __always_inline __u32 encapsulate(struct __sk_buff *skb, __u32 mac_length, __u32 length,
					 const struct path *path, const struct iphdr *inner)
{
	struct outer_gre outer = {};
	__u64 marks = BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;

	if (path->protocol == IPPROTO_GRE) {
		length += sizeof(outer);
		marks |= BPF_F_ADJ_ROOM_ENCAP_L4_GRE;
		fill_outer(&outer.ip, path, inner, length);
		outer.gre.protocol = bpf_htons(ETH_P_IP);
		if (make_room(skb, sizeof(outer), marks) ||
		    bpf_skb_store_bytes(skb, mac_length, &outer, sizeof(outer), 0))
			return 0;
		return length;
	}
	length += sizeof(outer.ip);
	fill_outer(&outer.ip, path, inner, length);
	if (make_room(skb, sizeof(outer.ip), marks) ||
	    bpf_skb_store_bytes(skb, mac_length, &outer.ip, sizeof(outer.ip), 0))
		return 0;
	return length;
}

/* Find the interface toward the far end of a path. Returns 0 or the reason to refuse. */
static __always_inline int route_to(struct __sk_buff *skb, const struct path *path, __u32 length,
				    __u32 *ifindex)
{
	struct bpf_fib_lookup route = {
		.family = FAMILY_IPV4,
		.l4_protocol = path->protocol,
		.tot_len = skb->gso_size ? 0 : length,
		.ifindex = skb->ifindex,
		.ipv4_src = path->local,
		.ipv4_dst = path->remote,
	};
	long result = bpf_fib_lookup(skb, &route, sizeof(route), 0);

	if (result == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return COUNTER_DROP_TOO_BIG;
	if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH)
		return COUNTER_DROP_NO_ROUTE;
	*ifindex = route.ifindex;
	return 0;
}

/*
 * Send an outer packet of `length` octets behind an Ethernet header toward the far end.
 *
 * The next hop is not handed on: without one bpf_redirect_neigh routes the packet anew, and only
 * then does a packet that the stack had routed to the device survive the wait for its neighbour.
 */
static __always_inline int send_through(struct __sk_buff *skb, const struct path *path,
					__u32 length, const struct settings *own)
{
	__u32 ifindex = path->ifindex;
	int refused = ifindex ? 0 : route_to(skb, path, length, &ifindex);

	if (refused)
		return refuse(refused);
	/* A care-of address that is itself reached through a tunnel. */
	if (ifindex == own->device_ifindex)
		return refuse(COUNTER_DROP_LOOP);
	/* Many a driver loses such a packet without a word. */
	if (bpf_check_mtu(skb, ifindex, &length, 0, 0))
		return refuse(COUNTER_DROP_TOO_BIG);
	return bpf_redirect_neigh(ifindex, NULL, 0, 0);
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
