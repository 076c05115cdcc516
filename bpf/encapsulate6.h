/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IPv6 into the tunnels: IPv6 in IPv4 (RFC 4213), also in UDP (RFC 5454 3.9), and GRE (RFC 7676).
 *
 * Minimal encapsulation has no way to carry it (RFC 5454 3.3.2). A path of it takes IPv6 as one of
 * IP-in-IP does, like all that has to be whole.
 */
#ifndef FLOWBIND_ENCAPSULATE6_H
#define FLOWBIND_ENCAPSULATE6_H

#include "encapsulate.h"
#include "flow6.h"

#define IP6_HOP_LIMIT_AT 7

static __always_inline __u8 protocol6_of(const struct path *path)
{
	return path->protocol == IPPROTO_GRE ? IPPROTO_GRE : IPPROTO_IPV6;
}

/* Since Linux 6.3; older ones refuse it. */
#ifndef BPF_F_ADJ_ROOM_DECAP_L3_IPV4
#define BPF_F_ADJ_ROOM_DECAP_L3_IPV4 (1ull << 7)
#endif

/*
 * Have an IPv6 packet count as one of IPv4, at the price of 20 octets in front of it. Only when a header
 * is taken away the kernel lets the protocol be changed.
 *
 * An older one does so when it translates the header to that of IPv4, which is 20 octets shorter. But
 * it takes segments at once for translated ones, too: from one tunnel to another they pass since 6.3.
 */
static __always_inline long become_ipv4(struct __sk_buff *skb)
{
	const __s32 shrinks = sizeof(struct ipv6hdr) - sizeof(struct iphdr);
	long result;

	result = bpf_skb_adjust_room(skb, -shrinks, BPF_ADJ_ROOM_MAC,
				     BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_DECAP_L3_IPV4);
	if (result != -EINVAL || skb->gso_size)
		return result;
	return bpf_skb_change_proto(skb, bpf_htons(ETH_P_IP), 0);
}

/* Make room for outer headers. What has just left another tunnel cannot be marked as encapsulated twice,
 * and only the mark would have the kernel change the protocol. */
static __always_inline long make_room6(struct __sk_buff *skb, __u32 octets, __u64 marks)
{
	const __u32 shrinks = sizeof(struct ipv6hdr) - sizeof(struct iphdr);
	long result = bpf_skb_adjust_room(skb, octets, BPF_ADJ_ROOM_MAC,
					  marks | BPF_F_ADJ_ROOM_FIXED_GSO);

	if (result != -EALREADY)
		return result;
	result = bpf_skb_adjust_room(skb, octets + shrinks, BPF_ADJ_ROOM_MAC,
				     BPF_F_ADJ_ROOM_FIXED_GSO);
	return result ? result : become_ipv4(skb);
}

/* Encapsulate the `length` octets of a packet that `mac_length` octets lie in front of.
 * Returns the octets of the outer packet, or 0. */
static __always_inline __u32 encapsulate6(struct __sk_buff *skb, __u32 mac_length, __u32 length,
					  const struct path *path, __u8 traffic_class)
{
	/* RFC 4213 3.2.1: with a static MTU, DF is not set. */
	struct iphdr inner = { .tos = traffic_class };
	__u32 overhead = sizeof(struct iphdr) + udp_overhead(path);
	__u8 protocol = protocol6_of(path);
	__u32 gre_octets = 0;
	struct iphdr outer;

	if (protocol == IPPROTO_GRE)
		gre_octets = fill_gre(skb, path, ETH_P_IPV6);
	overhead += gre_octets;
	length += overhead;
	fill_outer(&outer, path, &inner, protocol, length);
	if (make_room6(skb, overhead, marks_of(path, protocol)) ||
	    bpf_skb_store_bytes(skb, mac_length, &outer, sizeof(outer), 0) ||
	    store_udp(skb, mac_length + sizeof(outer), path, protocol, length - sizeof(outer)) ||
	    store_gre(skb, mac_length + overhead - gre_octets, gre_octets))
		return 0;
	return length;
}

/* Send the packet in packet6_map through this path of its node, and copies where the path stands for
 * several, but for what is a copy itself. */
__noinline int into_tunnel6(struct __sk_buff *skb, __u32 mac_length, __u32 index, __u32 is_copy)
{
	const struct settings *own = settings();
	const struct packet6 *packet = packet6();
	const struct node *node;
	const struct path *path;
	__u8 traffic_class;
	__u32 octets, length;
	__u64 at = index;

	if (!own || !packet)
		return refuse(COUNTER_DROP_ENCAPSULATION_FAILED);
	node = bpf_map_lookup_elem(&nodes_map, &packet->home_address);
	if (!node)
		return refuse(COUNTER_DROP_NO_BINDING);
	if (at == PATH_DROP)
		return refuse(COUNTER_DROP_BY_RULE);
	if (at >= MAX_PATHS)
		return refuse(COUNTER_DROP_NO_PATH);
	octets = packet->octets;
	traffic_class = packet->traffic_class;
	/* As in into_tunnel: so that Linux 6.1 sees it. */
	barrier_var(at);
	path = &node->paths[at & (MAX_PATHS - 1)];
	if (path->bid == PLAIN_BID && node->path_count > 1 && !is_copy)
		send_copies(skb, node, at, own);
	if (trim(skb, mac_length + octets))
		return refuse(COUNTER_DROP_ENCAPSULATION_FAILED);
	length = encapsulate6(skb, mac_length, octets, path, traffic_class);
	if (!length || (!mac_length && add_ethernet_header(skb)))
		return refuse(COUNTER_DROP_ENCAPSULATION_FAILED);
	count(COUNTER_ENCAPSULATED_PACKETS);
	count_by(COUNTER_ENCAPSULATED_OCTETS, octets);
	return send_through(skb, path, length, own);
}

/* Lower the MSS that a packet for a tunnel offers. */
static __always_inline int fit_mss6(struct __sk_buff *skb, const struct packet6 *packet,
				    const struct settings *own)
{
	if (!packet->syn_at || !own->clamp_mss)
		return 0;
	return clamp_mss(skb, packet->syn_at, IP6_TUNNEL_MTU - sizeof(struct ipv6hdr) - TCP_HEADER);
}

/* An IPv6 packet that the routing table sent to the device. */
static __always_inline int device_egress6(struct __sk_buff *skb, int toward_node)
{
	const struct settings *own = settings();
	struct packet6 *packet;
	const struct node *node;
	__u32 index, copy;

	if (!own || !read_packet6(skb, 0, toward_node))
		return refuse(COUNTER_DROP_MALFORMED);
	packet = packet6();
	if (!packet)
		return TC_ACT_SHOT;
	/* What the host has to say to its neighbours there, of which there are none. */
	if (is_of_link(&packet->key.remote) || is_of_link(&packet->key.local))
		return TC_ACT_SHOT;
	if (!find_home_address(packet))
		return refuse(COUNTER_DROP_NO_BINDING);
	node = bpf_map_lookup_elem(&nodes_map, &packet->home_address);
	if (!node)
		return refuse(COUNTER_DROP_NO_BINDING);
	if (fit_mss6(skb, packet, own))
		return refuse(COUNTER_DROP_ENCAPSULATION_FAILED);
	copy = path_of_copy(skb, node);
	index = copy == PATH_NONE ? choose_path6() : copy;
	return into_tunnel6(skb, 0, index, copy != PATH_NONE);
}

/*
 * An IPv6 packet for a mobile node, taken before the stack routes it.
 *
 * All that needs the stack's judgement is left to it: what may not leave its link, a hop limit that
 * ends here, options for routers, and a packet too big for the tunnel.
 */
static __always_inline int shortcut_ingress6(struct __sk_buff *skb, __u32 mac_length,
					     const struct settings *own)
{
	struct packet6 *packet;
	__u8 hop_limit;

	if (!own->ipv6 || !own->shortcut || skb->pkt_type != 0 /* PACKET_HOST */ ||
	    !read_packet6(skb, mac_length, 1))
		return TC_ACT_UNSPEC;
	packet = packet6();
	if (!packet || packet->hop_limit <= 1 || packet->first_header == IPPROTO_HOPOPTS ||
	    packet->largest > IP6_TUNNEL_MTU || is_of_link(&packet->key.remote) ||
	    is_unspecified_or_loopback(&packet->key.remote) || !find_home_address(packet) ||
	    !bpf_map_lookup_elem(&nodes_map, &packet->home_address))
		return TC_ACT_UNSPEC;
	hop_limit = packet->hop_limit - 1;
	if (bpf_skb_store_bytes(skb, mac_length + IP6_HOP_LIMIT_AT, &hop_limit, sizeof(hop_limit),
				BPF_F_RECOMPUTE_CSUM) ||
	    fit_mss6(skb, packet, own))
		return refuse(COUNTER_DROP_ENCAPSULATION_FAILED);
	return into_tunnel6(skb, mac_length, choose_path6(), 0);
}

#endif
