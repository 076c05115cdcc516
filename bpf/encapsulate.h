/* SPDX-License-Identifier: GPL-2.0-only */
/* Into the tunnels, at the egress of the device. */
#ifndef FLOWBIND_ENCAPSULATE_H
#define FLOWBIND_ENCAPSULATE_H

#include "flow.h"
#include "mss.h"
#include "tunnel.h"

/* In skb->tc_index, with the index of a path: this is a copy for that path. */
#define COPY 0xfb00

/* bpf_redirect_neigh fills in an Ethernet header, which a device without one must be given. */
static __always_inline int add_ethernet_header(struct __sk_buff *skb)
{
	struct ethhdr header = { .h_proto = bpf_htons(ETH_P_IP) };

	if (bpf_skb_change_head(skb, sizeof(header), 0))
		return -1;
	return bpf_skb_store_bytes(skb, 0, &header, sizeof(header), 0);
}

/* Cut off the padding of a short frame, which is no part of the packet. */
static __always_inline long trim(struct __sk_buff *skb, __u32 length)
{
	return skb->len > length ? bpf_skb_change_tail(skb, length, 0) : 0;
}

/*
 * RFC 2003 3.2: what comes from the far end of the tunnel must not go back into it. RFC 5944 4.2.3:
 * nor may what any care-of address of the node has tunnelled. The far end of a tunnel in UDP is the
 * address of many a host, of which any may have something to say to the node.
 */
static __always_inline int loops(const struct node *node, const struct path *path,
				 const struct iphdr *inner)
{
	struct ends ends = { .local = path->local, .remote = inner->saddr };

	if (inner->saddr == path->remote && !is_in_udp(path))
		return 1;
	return is_tunnel_protocol(inner->protocol) && path_of(node, &ends);
}

/*
 * Paths without a BID are simultaneous bindings of RFC 5944: a packet for one is for all of them
 * (4.2.3). Each of the others gets a copy, which comes by at the egress of the device like any
 * packet, and finds its neighbour as such; tc_index tells it which path is its own.
 */
static __always_inline void send_copies(struct __sk_buff *skb, const struct node *node, __u8 own_path,
					const struct settings *own)
{
	__u32 tc_index = skb->tc_index;

	for (__u32 i = 0; i < MAX_PATHS; i++) {
		const struct path *path = &node->paths[i];

		if (i >= node->path_count)
			break;
		if (i == own_path || path->bid != PLAIN_BID || !path->transmit)
			continue;
		skb->tc_index = COPY + i;
		/* What is positive was dropped on its way, and counted there. */
		if (bpf_clone_redirect(skb, own->device_ifindex, 0) < 0)
			count(COUNTER_DROP_ENCAPSULATION_FAILED);
	}
	skb->tc_index = tc_index;
}

/* The path that a copy is for, or PATH_NONE for what is none. */
static __always_inline __u8 path_of_copy(struct __sk_buff *skb, const struct node *node)
{
	__u32 tag = skb->tc_index;
	/* Masked, so that the verifier sees that it is within bounds. */
	__u32 index = tag & (MAX_PATHS - 1);

	if (tag - index != COPY || index >= node->path_count || node->paths[index].bid != PLAIN_BID)
		return PATH_NONE;
	skb->tc_index = 0;
	return index;
}

/* Send a packet of `octets` through this path of its node, and copies where the path stands for
 * several, but for what is a copy itself. */
static __always_inline int into_tunnel(struct __sk_buff *skb, __u32 mac_length, __u32 octets,
				       const struct node *node, __u64 index, int is_copy,
				       const struct iphdr *inner, const struct settings *own)
{
	const struct path *path;
	__u32 length;

	if (index == PATH_DROP)
		return refuse(COUNTER_DROP_BY_RULE);
	if (index >= MAX_PATHS)
		return refuse(COUNTER_DROP_NO_PATH);
	/* Linux 6.1 forgets the check where the value was put by before it. The compiler does not
	 * know any more that the mask changes nothing, and leaves it there. */
	barrier_var(index);
	path = &node->paths[index & (MAX_PATHS - 1)];
	if (path->bid == PLAIN_BID && node->path_count > 1 && !is_copy)
		send_copies(skb, node, index, own);
	if (loops(node, path, inner))
		return refuse(COUNTER_DROP_LOOP);
	if (trim(skb, mac_length + octets))
		return refuse(COUNTER_DROP_ENCAPSULATION_FAILED);
	length = encapsulate(skb, mac_length, octets, path, inner);
	if (!length || (!mac_length && add_ethernet_header(skb)))
		return refuse(COUNTER_DROP_ENCAPSULATION_FAILED);
	count(COUNTER_ENCAPSULATED_PACKETS);
	count_by(COUNTER_ENCAPSULATED_OCTETS, octets);
	return send_through(skb, path, length, own);
}

/* Lower the MSS that an IPv4 packet for a tunnel offers; its TCP header is at `tcp`. */
static __always_inline int fit_mss(struct __sk_buff *skb, __u32 tcp, __u8 tcp_flags,
				   const struct node *node, const struct settings *own)
{
	if (!(tcp_flags & TCP_SYN) || !own->clamp_mss || !node->mtu)
		return 0;
	return clamp_mss(skb, tcp, node->mtu - sizeof(struct iphdr) - TCP_HEADER);
}

/* A packet that the routing table sent to the device. */
static __always_inline int device_egress(struct __sk_buff *skb, int toward_node)
{
	const struct settings *own = settings();
	const struct node *node;
	struct flow_key key;
	struct iphdr inner;
	__u32 header, octets;
	__u8 index, copy, tcp_flags;

	if (!own || skb->protocol != bpf_htons(ETH_P_IP))
		return refuse(COUNTER_DROP_MALFORMED);
	header = load_ipv4(skb, 0, &inner);
	if (!header)
		return refuse(COUNTER_DROP_MALFORMED);
	tcp_flags = load_flow_key(skb, 0, header, &inner, toward_node, &key);
	node = bpf_map_lookup_elem(&nodes_map, &key.local);
	if (!node)
		return refuse(COUNTER_DROP_NO_BINDING);
	if (fit_mss(skb, header, tcp_flags, node, own))
		return refuse(COUNTER_DROP_ENCAPSULATION_FAILED);
	octets = ipv4_length(skb, 0, &inner);
	copy = path_of_copy(skb, node);
	index = copy == PATH_NONE ? choose_path(node, &inner, &key, octets) : copy;
	return into_tunnel(skb, 0, octets, node, index, copy != PATH_NONE, &inner, own);
}

#endif
