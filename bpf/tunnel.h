/* SPDX-License-Identifier: GPL-2.0-only */
/* Putting outer headers on and sending the packet: IP-in-IP (RFC 2003), GRE (gre.h) and minimal
 * encapsulation (RFC 2004), each also in UDP (RFC 3519). */
#ifndef FLOWBIND_TUNNEL_H
#define FLOWBIND_TUNNEL_H

#include <linux/errno.h>

#include "gre.h"
#include "maps.h"
#include "parsing.h"

#define OUTER_TTL 64
#define LARGEST_TOTAL_LENGTH 0xffff
#define FAMILY_IPV4 2
/* One of so many packets and one lets the kernel look at its neighbour. */
#define VERIFY_NEIGHBOUR_MASK 0xff

/* The forwarding header of minimal encapsulation (RFC 2004 3). The source is there with the S bit. */
struct minimal_header {
	__u8 protocol;
	__u8 flags;
	__sum16 checksum;
	__be32 destination;
	__be32 source;
};

#define MINIMAL_SOURCE_PRESENT 0x80

#define MOBILE_IP_PORT 434
#define MIP_TUNNEL_DATA 4

/* A UDP header and the MIP Tunnel Data header behind it (RFC 3519 3.3). */
struct udp_tunnel_header {
	__be16 source;
	__be16 destination;
	__be16 length;
	__sum16 checksum;
	__u8 type;
	__u8 next_header;
	__be16 reserved;
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

static __always_inline int is_tunnel_protocol(__u8 protocol)
{
	return protocol == IPPROTO_IPIP || protocol == IPPROTO_GRE || protocol == IPPROTO_MINIMAL;
}

static __always_inline int is_in_udp(const struct path *path)
{
	return path->remote_port != 0;
}

static __always_inline void fill_outer(struct iphdr *outer, const struct path *path,
				       const struct iphdr *inner, __u8 protocol, __u32 total)
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
	outer->protocol = is_in_udp(path) ? IPPROTO_UDP : protocol;
	outer->saddr = path->local;
	outer->daddr = path->remote;
	outer->check = ipv4_checksum(outer);
}

/*
 * RFC 3519 says nothing of the checksum. None is what UDP allows over IPv4, and what the inner packet
 * needs, which has its own: to compute one would be to read every octet.
 */
static __always_inline void fill_udp(struct udp_tunnel_header *udp, const struct path *path,
				     __u8 protocol, __u32 length)
{
	__builtin_memset(udp, 0, sizeof(*udp));
	udp->source = path->local_port;
	udp->destination = path->remote_port;
	/* What is longer is cut up before any wire, but an address translator may look at it before. */
	udp->length = bpf_htons(length <= LARGEST_TOTAL_LENGTH ? length : LARGEST_TOTAL_LENGTH);
	udp->type = MIP_TUNNEL_DATA;
	udp->next_header = protocol;
}

static __always_inline long store_udp(struct __sk_buff *skb, __u32 at, const struct path *path,
				      __u8 protocol, __u32 length)
{
	struct udp_tunnel_header udp;

	if (!is_in_udp(path))
		return 0;
	fill_udp(&udp, path, protocol, length);
	return bpf_skb_store_bytes(skb, at, &udp, sizeof(udp), 0);
}

static __always_inline __u32 udp_overhead(const struct path *path)
{
	return is_in_udp(path) ? sizeof(struct udp_tunnel_header) : 0;
}

/* How the kernel is to cut up many segments at once. What is behind a UDP header is opaque to it. */
static __always_inline __u64 marks_of(const struct path *path, __u8 protocol)
{
	if (is_in_udp(path))
		return BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
	if (protocol == IPPROTO_GRE)
		return BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_GRE;
	return BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
}

/* Put an IP header in front, and what is to be between the two. Arguments as of `encapsulate`. */
static __always_inline __u32 encapsulate_whole(struct __sk_buff *skb, __u32 mac_length,
					       __u32 length, const struct path *path,
					       const struct iphdr *inner, __u8 protocol)
{
	__u32 overhead = sizeof(struct iphdr) + udp_overhead(path);
	__u32 gre_octets = 0;
	struct iphdr outer;

	if (protocol == IPPROTO_GRE)
		gre_octets = fill_gre(skb, path, ETH_P_IP);
	overhead += gre_octets;
	length += overhead;
	fill_outer(&outer, path, inner, protocol, length);
	if (make_room(skb, overhead, marks_of(path, protocol)) ||
	    bpf_skb_store_bytes(skb, mac_length, &outer, sizeof(outer), 0) ||
	    store_udp(skb, mac_length + sizeof(outer), path, protocol, length - sizeof(outer)) ||
	    store_gre(skb, mac_length + overhead - gre_octets, gre_octets))
		return 0;
	return length;
}

/* The octets of a forwarding header with these flags. */
static __always_inline __u32 minimal_length(__u8 flags)
{
	__u32 present = (flags & MINIMAL_SOURCE_PRESENT) / MINIMAL_SOURCE_PRESENT;

	return sizeof(struct minimal_header) - sizeof(__be32) + present * sizeof(__be32);
}

/* What a forwarding header sums up to: 0 if it is intact, and with a checksum of 0 the checksum that
 * it ought to have. A source that is not there has to be 0. */
static __always_inline __sum16 minimal_checksum(const struct minimal_header *header)
{
	const __u16 *half = (const __u16 *)header;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < (int)(sizeof(*header) / sizeof(*half)); i++)
		sum += half[i];
	return fold_checksum(sum);
}

/*
 * Whether a packet may take the forwarding header of its path; if not it goes by IP-in-IP, which every
 * receiver takes (RFC 5944 4.1).
 *
 * A fragment must not (RFC 2004 3). IP options would have to be followed on the way. And no kernel
 * cuts up segments behind this header: they go by IP-in-IP as they are, which costs 8 octets more of
 * each and saves to handle them one by one.
 */
static __always_inline int is_minimal(struct __sk_buff *skb, const struct path *path,
				      const struct iphdr *inner)
{
	return path->protocol == IPPROTO_MINIMAL && !skb->gso_size && inner->ihl == IP_MIN_IHL &&
	       !(inner->frag_off & bpf_htons(IP_OFFSET_AND_MORE));
}

/* RFC 2004 3: the header stays but for its addresses, so TTL, DSCP, ECN, DF and Identification are
 * those of the packet. Arguments as of `encapsulate`. */
static __always_inline __u32 encapsulate_minimally(struct __sk_buff *skb, __u32 mac_length,
						   __u32 length, const struct path *path,
						   const struct iphdr *inner)
{
	struct minimal_header forwarding = {
		.protocol = inner->protocol,
		.destination = inner->daddr,
	};
	__u32 at = mac_length + sizeof(*inner);
	struct iphdr outer = *inner;

	if (inner->saddr != path->local) {
		forwarding.flags = MINIMAL_SOURCE_PRESENT;
		forwarding.source = inner->saddr;
	}
	forwarding.checksum = minimal_checksum(&forwarding);
	length += minimal_length(forwarding.flags) + udp_overhead(path);
	outer.tot_len = bpf_htons(length);
	outer.protocol = is_in_udp(path) ? IPPROTO_UDP : IPPROTO_MINIMAL;
	outer.saddr = path->local;
	outer.daddr = path->remote;
	outer.check = 0;
	outer.check = ipv4_checksum(&outer);
	if (length > LARGEST_TOTAL_LENGTH ||
	    make_room(skb, minimal_length(forwarding.flags) + udp_overhead(path), 0) ||
	    bpf_skb_store_bytes(skb, mac_length, &outer, sizeof(outer), 0) ||
	    store_udp(skb, at, path, IPPROTO_MINIMAL, length - sizeof(outer)))
		return 0;
	at += udp_overhead(path);
	/* Of two lengths that the verifier knows. */
	if (forwarding.flags ? bpf_skb_store_bytes(skb, at, &forwarding, sizeof(forwarding), 0) :
			       bpf_skb_store_bytes(skb, at, &forwarding,
						   sizeof(forwarding) - sizeof(__be32), 0))
		return 0;
	return length;
}

/* Encapsulate the `length` octets of a packet that `mac_length` octets lie in front of.
 * Returns the octets of the outer packet, or 0. Not static, for the verifier's sake. */
__noinline __u32 encapsulate(struct __sk_buff *skb, __u32 mac_length, __u32 length,
			     const struct path *path, const struct iphdr *inner)
{
	if (!path || !inner)
		return 0;
	if (is_minimal(skb, path, inner))
		return encapsulate_minimally(skb, mac_length, length, path, inner);
	return encapsulate_whole(skb, mac_length, length, path, inner,
				 path->protocol == IPPROTO_GRE ? IPPROTO_GRE : IPPROTO_IPIP);
}

/* Find the next hop toward the far end of a path: interface and hardware addresses. Returns 0, or the
 * reason to refuse. `has_neighbour` tells whether the next hop's hardware address is known. */
static __always_inline int route_to(struct __sk_buff *skb, const struct path *path,
				    struct bpf_fib_lookup *route, int *has_neighbour)
{
	__u32 flags = path->ifindex ? BPF_FIB_LOOKUP_OUTPUT : 0;
	long result;

	__builtin_memset(route, 0, sizeof(*route));
	route->family = FAMILY_IPV4;
	route->l4_protocol = is_in_udp(path) ? IPPROTO_UDP : path->protocol;
	route->sport = path->local_port;
	route->dport = path->remote_port;
	/*
	 * Without a length: the kernel would compare it with what it believes of the whole way, and it
	 * believes forged ICMP errors. What fits is known of the node.
	 */
	route->ifindex = path->ifindex ? path->ifindex : skb->ifindex;
	route->ipv4_src = path->local;
	route->ipv4_dst = path->remote;
	result = bpf_fib_lookup(skb, route, sizeof(*route), flags);
	/* Without a length it compares that of the frame, which tells nothing of a link without frames. */
	*has_neighbour = result == BPF_FIB_LKUP_RET_SUCCESS ||
			 result == BPF_FIB_LKUP_RET_FRAG_NEEDED;
	if (*has_neighbour || result == BPF_FIB_LKUP_RET_NO_NEIGH)
		return 0;
	/* It refuses to look where an interface does not forward, as those of a host do not. */
	if (result == BPF_FIB_LKUP_RET_FWD_DISABLED && path->ifindex) {
		route->ifindex = path->ifindex;
		return 0;
	}
	return COUNTER_DROP_NO_ROUTE;
}

/*
 * Send an IPv4 packet behind an Ethernet header to the next hop that a lookup found.
 *
 * What it found of the neighbour is used as it is, which spares the second lookup of
 * bpf_redirect_neigh. That one is asked where the neighbour is not known, and now and then to have the
 * kernel verify an entry that has become stale. It is not handed the next hop, for without one it
 * routes the packet anew, and only then does a packet that the stack had routed to the device survive
 * the wait for its neighbour.
 */
static __always_inline int send_on(struct __sk_buff *skb, const struct bpf_fib_lookup *route,
				   int has_neighbour)
{
	struct ethhdr header = { .h_proto = bpf_htons(ETH_P_IP) };

	if (!has_neighbour || !(bpf_get_prandom_u32() & VERIFY_NEIGHBOUR_MASK))
		return bpf_redirect_neigh(route->ifindex, NULL, 0, 0);
	__builtin_memcpy(header.h_dest, route->dmac, ETH_ALEN);
	__builtin_memcpy(header.h_source, route->smac, ETH_ALEN);
	if (bpf_skb_store_bytes(skb, 0, &header, sizeof(header), 0))
		return refuse(COUNTER_DROP_ENCAPSULATION_FAILED);
	return bpf_redirect(route->ifindex, 0);
}

/* Send an outer packet of `length` octets behind an Ethernet header toward the far end. */
static __always_inline int send_through(struct __sk_buff *skb, const struct path *path,
					__u32 length, const struct settings *own)
{
	struct bpf_fib_lookup route;
	int has_neighbour = 0;
	int refused = route_to(skb, path, &route, &has_neighbour);

	if (refused)
		return refuse(refused);
	/* A care-of address that is itself reached through a tunnel. */
	if (route.ifindex == own->device_ifindex)
		return refuse(COUNTER_DROP_LOOP);
	/* Many a driver loses such a packet without a word. */
	if (!skb->gso_size && bpf_check_mtu(skb, route.ifindex, &length, 0, 0))
		return refuse(COUNTER_DROP_TOO_BIG);
	return send_on(skb, &route, has_neighbour);
}

/* The two ends of a tunnel; the ports are 0 where it is not in UDP. */
struct ends {
	__be32 local;
	__be32 remote;
	__be16 local_port;
	__be16 remote_port;
};

/*
 * The path of this node that has these very ends, or NULL (RFC 3519 4.3).
 *
 * As long as nothing may be sent into a tunnel in UDP, its registration is not answered. Then nobody
 * knows yet whether the home agent sees an address translator, and its first packets may be of either
 * kind.
 */
static __always_inline const struct path *path_of(const struct node *node, const struct ends *ends)
{
	for (__u32 i = 0; i < MAX_PATHS; i++) {
		const struct path *path = &node->paths[i];

		if (i >= node->path_count)
			break;
		if (path->remote != ends->remote || path->local != ends->local)
			continue;
		if (path->remote_port == ends->remote_port && path->local_port == ends->local_port)
			return path;
		if (!ends->remote_port && !path->transmit)
			return path;
	}
	return NULL;
}

#endif
