/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What becomes of a packet, for whoever asks: the same parsing and the same decision as for packets
 * that pass, but nothing is counted, cached or sent.
 */
#ifndef FLOWBIND_EXPLAIN_H
#define FLOWBIND_EXPLAIN_H

#include "flow.h"

/* Not inline: so the layout of the answer gets into the BTF. Static: a function that is looked at by
 * itself may not hand on memory of its caller's as a key, says Linux 6.1. */
static __noinline int explain_flow(const struct flow_key *key, struct explanation *answer)
{
	const struct node *node;
	const struct flow *known;

	if (!key || !answer)
		return 0;
	node = bpf_map_lookup_elem(&nodes_map, &key->local);
	if (!node)
		return 0;
	answer->has_node = 1;
	known = bpf_map_lookup_elem(&flows_map, key);
	if (is_current(known, node)) {
		answer->is_cached = 1;
		answer->flow = *known;
	} else {
		decide(node, key, &answer->flow);
	}
	return 0;
}

/* Explain the packet in an Ethernet frame, and leave a struct explanation at the head of the frame,
 * which must have the room. Returns TC_ACT_OK, or TC_ACT_SHOT for what cannot be read. */
static __always_inline int explain(struct __sk_buff *skb, int toward_node)
{
	struct explanation answer = {};
	struct flow_key key;
	struct iphdr ip;
	__u32 header = load_ipv4(skb, ETH_HLEN, &ip);

	if (!header)
		return TC_ACT_SHOT;
	load_flow_key(skb, ETH_HLEN, header, &ip, toward_node, &key);
	if (is_fragment(&ip))
		recall_first_fragment(&ip, &key);
	explain_flow(&key, &answer);
	if (bpf_skb_store_bytes(skb, 0, &answer, sizeof(answer), 0))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

#endif
