/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IPv6 out of the tunnels.
 *
 * RFC 5454 3.3.2: a packet is taken only if its outer source is a registered care-of address and its
 * inner source is in a prefix of that very node.
 */
#ifndef FLOWBIND_DECAPSULATE6_H
#define FLOWBIND_DECAPSULATE6_H

#include "decapsulate.h"
#include "encapsulate6.h"

/* Whether there is IPv6 inside of what `is_tunnel` found. */
static __always_inline int is_ipv6_inside(struct __sk_buff *skb, const struct tunnelled *packet)
{
	__be16 protocol = 0;

	if (packet->protocol == IPPROTO_IPV6)
		return 1;
	if (packet->protocol != IPPROTO_GRE)
		return 0;
	bpf_skb_load_bytes(skb, inner_at(packet) + sizeof(__be16), &protocol, sizeof(protocol));
	return protocol == bpf_htons(ETH_P_IPV6);
}

static __always_inline int congestion_marked6(const struct packet6 *packet)
{
	return (packet->outer_tos & ECN_MASK) == ECN_CE;
}

/* As check_path of IPv4. Returns 0 or the reason to refuse. */
static __always_inline int check_path6(struct __sk_buff *skb, const struct packet6 *packet,
				       const struct path *path)
{
	if (!path)
		return packet->outer_source_port ? COUNTER_DROP_UDP_TUNNEL_UNKNOWN :
						   COUNTER_DROP_CARE_OF_ADDRESS_UNKNOWN;
	if (protocol6_of(path) != packet->outer_protocol)
		return COUNTER_DROP_ENCAPSULATION_MISMATCH;
	/* RFC 6040 4.2: a congestion mark that the inner packet cannot take is a loss. */
	if (congestion_marked6(packet) && !(packet->traffic_class & ECN_MASK))
		return COUNTER_DROP_CONGESTION_MARK;
	return packet->outer_protocol == IPPROTO_GRE ? check_gre(skb, path) : 0;
}

/*
 * Leave nothing but the inner packet, and have it count as one of IPv6.
 *
 * The kernel changes the protocol of a packet only in that it translates the header, which becomes 20
 * octets longer. They go with the others.
 */
static __always_inline long take_out6(struct __sk_buff *skb, __u32 overhead)
{
	const __s32 grows = sizeof(struct ipv6hdr) - sizeof(struct iphdr);
	long result = bpf_skb_change_proto(skb, bpf_htons(ETH_P_IPV6), 0);

	if (result)
		return result;
	return bpf_skb_adjust_room(skb, -(__s32)overhead - grows, BPF_ADJ_ROOM_MAC,
				   BPF_F_ADJ_ROOM_FIXED_GSO);
}

/* Take an IPv6 packet out of the tunnel that packet6_map tells of. Not static, so that the verifier
 * looks at it once. */
__noinline int out_of_tunnel6(struct __sk_buff *skb, __u32 mac_length, __u32 toward_home_agent)
{
	const struct settings *own = settings();
	struct packet6 *packet = packet6();
	const struct node *node;
	struct ends ends;
	int refused;

	if (!own || !packet || !read_packet6(skb, mac_length + packet->overhead, !toward_home_agent))
		return refuse(COUNTER_DROP_MALFORMED);
	if (!packet->hop_limit || packet->octets > packet->room)
		return refuse(COUNTER_DROP_MALFORMED);
	if (!find_home_address(packet))
		return refuse(COUNTER_DROP_INNER_ADDRESS);
	node = bpf_map_lookup_elem(&nodes_map, &packet->home_address);
	if (!node)
		return refuse(COUNTER_DROP_NO_BINDING);
	ends.local = packet->outer_destination;
	ends.remote = packet->outer_source;
	ends.local_port = packet->outer_destination_port;
	ends.remote_port = packet->outer_source_port;
	refused = check_path6(skb, packet, path_of(node, &ends));
	if (refused)
		return refuse(refused);
	if (take_out6(skb, packet->overhead))
		return refuse(COUNTER_DROP_DECAPSULATION_FAILED);
	/* RFC 6040 4.2: the mark of the outer header moves to the inner one. */
	if (congestion_marked6(packet))
		bpf_skb_ecn_set_ce(skb);
	count(COUNTER_DECAPSULATED_PACKETS);
	count_by(COUNTER_DECAPSULATED_OCTETS, packet->octets);
	return bpf_redirect(own->device_ifindex, BPF_F_INGRESS);
}

/* A tunnelled packet with IPv6 inside: what is said of IPv4 in load_tunnelled holds here too. */
static __always_inline int decapsulate6(struct __sk_buff *skb, struct tunnelled *tunnelled,
					int at_home_agent)
{
	__u32 length = tunnelled_length(skb, tunnelled);
	struct packet6 *packet = packet6();
	int refused = 0;

	if (ipv4_checksum(&tunnelled->outer) || !packet)
		return refuse(COUNTER_DROP_MALFORMED);
	if (tunnelled->protocol == IPPROTO_GRE)
		refused = load_gre(skb, tunnelled, ETH_P_IPV6, length);
	if (refused)
		return refuse(refused);
	packet->outer_source = tunnelled->outer.saddr;
	packet->outer_destination = tunnelled->outer.daddr;
	packet->outer_source_port = tunnelled->udp.source;
	packet->outer_destination_port = tunnelled->udp.destination;
	packet->outer_protocol = tunnelled->protocol;
	packet->outer_tos = tunnelled->outer.tos;
	packet->overhead = tunnelled->overhead;
	packet->room = length > tunnelled->overhead ? length - tunnelled->overhead : 0;
	return out_of_tunnel6(skb, tunnelled->mac_length, at_home_agent);
}

#endif
