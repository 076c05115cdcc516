/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The short cuts of a home agent, at the ingress of a link: into a tunnel without the routing table's
 * detour over the device, and out of one without the device at all.
 *
 * What needs the stack's judgement is left to it. Its netfilter sees neither.
 */
#ifndef FLOWBIND_SHORTCUT_H
#define FLOWBIND_SHORTCUT_H

#include "encapsulate.h"

static __always_inline int decrement_ttl(struct __sk_buff *skb, __u32 at, struct iphdr *inner)
{
	__u32 sum = (__u16)~inner->check;
	__u16 old_word = *(__u16 *)&inner->ttl;

	inner->ttl--;
	sum += (__u16)~old_word + *(__u16 *)&inner->ttl;
	inner->check = fold_checksum(sum);
	return bpf_skb_store_bytes(skb, at, inner, sizeof(*inner), 0);
}

/*
 * A packet for a mobile node, taken before the stack routes it.
 *
 * The stack judges a TTL that ends here, options, and a packet too big for the tunnel, which it
 * answers since the route leads to the device.
 */
static __always_inline int shortcut_ingress(struct __sk_buff *skb, __u32 mac_length,
					    struct iphdr *inner, const struct settings *own)
{
	const struct node *node;
	struct flow_key key;
	__u8 index, tcp_flags;
	__u32 octets;

	if (!own->shortcut || skb->pkt_type != 0 /* PACKET_HOST */ || inner->ttl <= 1)
		return TC_ACT_UNSPEC;
	node = bpf_map_lookup_elem(&nodes_map, &inner->daddr);
	if (!node)
		return TC_ACT_UNSPEC;
	if (segment_length(skb, mac_length, sizeof(*inner), inner) > node->mtu)
		return TC_ACT_UNSPEC;
	tcp_flags = load_flow_key(skb, mac_length, sizeof(*inner), inner, 1, &key);
	if (decrement_ttl(skb, mac_length, inner) ||
	    fit_mss(skb, mac_length + sizeof(*inner), tcp_flags, node, own))
		return refuse(COUNTER_DROP_ENCAPSULATION_FAILED);
	octets = ipv4_length(skb, mac_length, inner);
	index = choose_path(node, inner, &key, octets);
	return into_tunnel(skb, mac_length, octets, node, index, 0, inner, own);
}

/*
 * Forward a packet that has just left its tunnel, behind `mac_length` octets, if the stack would do no
 * more than that. Returns a verdict, or TC_ACT_UNSPEC to leave it to the stack.
 *
 * The stack judges a TTL that ends here, options, what is for this host or for another node, what no
 * route leads to, and what does not fit.
 */
static __always_inline int shortcut_out(struct __sk_buff *skb, __u32 mac_length,
					const struct iphdr *packet, const struct settings *own)
{
	struct iphdr inner = *packet;
	struct bpf_fib_lookup route = {
		.family = FAMILY_IPV4,
		.l4_protocol = inner.protocol,
		.ifindex = own->device_ifindex,
		.ipv4_src = inner.saddr,
		.ipv4_dst = inner.daddr,
	};
	__u32 length;
	long result;

	if (inner.ttl <= 1 || inner.ihl != IP_MIN_IHL)
		return TC_ACT_UNSPEC;
	length = segment_length(skb, mac_length, sizeof(inner), &inner);
	route.tot_len = length;
	result = bpf_fib_lookup(skb, &route, sizeof(route), 0);
	if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH)
		return TC_ACT_UNSPEC;
	if (route.ifindex == own->device_ifindex ||
	    (!skb->gso_size && bpf_check_mtu(skb, route.ifindex, &length, 0, 0)))
		return TC_ACT_UNSPEC;
	if (decrement_ttl(skb, mac_length, &inner) || (!mac_length && add_ethernet_header(skb)))
		return refuse(COUNTER_DROP_DECAPSULATION_FAILED);
	return send_on(skb, &route, result == BPF_FIB_LKUP_RET_SUCCESS);
}

#endif
