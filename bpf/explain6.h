/* SPDX-License-Identifier: GPL-2.0-only */
/* What becomes of an IPv6 packet, for whoever asks, as explain.h says of IPv4. */
#ifndef FLOWBIND_EXPLAIN6_H
#define FLOWBIND_EXPLAIN6_H

#include "explain.h"
#include "flow6.h"

/* Decide for the packet in packet6_map, into its flow. Returns what of struct explanation is set: 1
 * there is a node, 2 and the flow cache has it. */
__noinline int explain_packet6(void)
{
	struct packet6 *packet = packet6();
	const struct node *node;
	const struct flow *known;

	if (!packet || !find_home_address(packet))
		return 0;
	node = bpf_map_lookup_elem(&nodes_map, &packet->home_address);
	if (!node)
		return 0;
	if (packet->is_later_fragment)
		recall_first_fragment6(packet);
	known = bpf_map_lookup_elem(&flows6_map, &packet->key);
	if (is_current(known, node)) {
		packet->flow = *known;
		return 2;
	}
	__builtin_memset(&packet->flow, 0, sizeof(packet->flow));
	decide6(node, packet);
	return 1;
}

static __always_inline int explain6(struct __sk_buff *skb, int toward_node)
{
	struct explanation answer = {};
	struct packet6 *packet = packet6();
	int found;

	if (!packet || !read_packet6(skb, ETH_HLEN, toward_node))
		return TC_ACT_SHOT;
	found = explain_packet6();
	answer.has_node = found != 0;
	answer.is_cached = found == 2;
	if (found)
		answer.flow = packet->flow;
	if (bpf_skb_store_bytes(skb, 0, &answer, sizeof(answer), 0))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

#endif
