/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which path a packet takes: flow cache, then rules in order, then the weighted spread.
 *
 * model/decision.py is the same decision in Python; a test compares them packet by packet.
 */
#ifndef FLOWBIND_FLOW_H
#define FLOWBIND_FLOW_H

#include "maps.h"
#include "parsing.h"

/* The finaliser of MurmurHash3: every input bit reaches every output bit. */
static __always_inline __u32 mix(__u32 value)
{
	value ^= value >> 16;
	value *= 0x85ebca6b;
	value ^= value >> 13;
	value *= 0xc2b2ae35;
	value ^= value >> 16;
	return value;
}

/* Both ends of the tunnels get the same number, and DSCP does not tear a flow apart. */
static __always_inline __u32 flow_hash(const struct flow_key *key)
{
	__u32 ports = ((__u32)bpf_ntohs(key->remote_port) << 16) | bpf_ntohs(key->local_port);
	__u32 hash = mix(bpf_ntohl(key->remote));

	hash = mix(hash ^ bpf_ntohl(key->local));
	hash = mix(hash ^ ports);
	return mix(hash ^ key->protocol);
}

/* The highest ticket of a path, or 0 if it has none. Not static: the verifier then looks at it once
 * and not again for each of the states that a caller may be in. */
__noinline __u64 highest_ticket(__u32 hash, __u32 bid, __u32 weight)
{
	__u64 highest = 0;

	for (__u32 ticket = 0; ticket < MAX_WEIGHT; ticket++) {
		__u64 score = mix(hash ^ mix(bid << 8 | ticket)) + 1ull;

		if (ticket >= weight)
			break;
		if (score > highest)
			highest = score;
	}
	return highest;
}

/* Weighted rendezvous hashing: a path has as many tickets as its weight, the highest ticket of all
 * wins. A lost path moves only its own flows, and so does one that returns. */
__noinline __u32 spread(const struct node *node, __u32 hash)
{
	__u32 chosen = PATH_NONE;
	__u64 best = 0;

	if (!node)
		return PATH_NONE;
	for (__u32 i = 0; i < MAX_PATHS; i++) {
		const struct path *path = &node->paths[i];
		__u64 score;

		if (i >= node->path_count)
			break;
		if (!path->transmit)
			continue;
		score = highest_ticket(hash, path->bid, path->weight);
		if (score > best) {
			best = score;
			chosen = i;
		}
	}
	return chosen;
}

static __always_inline int within(__u32 value, __u32 start, __u32 last)
{
	return value - start <= last - start;
}

static __always_inline int rule_matches(const struct rule *rule, const struct flow_key *key)
{
	if ((rule->needs & key->has) != rule->needs)
		return 0;
	return within(key->protocol, rule->protocol_start, rule->protocol_last) &
	       within(key->ds, rule->ds_start, rule->ds_last) &
	       within(bpf_ntohs(key->remote_port), rule->source_port_start,
		      rule->source_port_last) &
	       within(bpf_ntohs(key->local_port), rule->destination_port_start,
		      rule->destination_port_last) &
	       within(bpf_ntohl(key->remote), rule->source_start, rule->source_last) &
	       within(bpf_ntohl(key->local), rule->destination_start, rule->destination_last) &
	       within(bpf_ntohl(key->spi), rule->spi_start, rule->spi_last);
}

/* The first rule that matches and can be carried out, or RULE_NONE. */
__noinline __u32 first_rule(const struct policy *policy, const struct flow_key *key,
			    __u32 rule_count)
{
	if (!policy || !key)
		return RULE_NONE;
	for (__u32 i = 0; i < MAX_RULES; i++) {
		const struct rule *rule = &policy->rules[i];

		if (i >= rule_count)
			break;
		if (rule->path != PATH_NONE && rule_matches(rule, key))
			return i;
	}
	return RULE_NONE;
}

/* Decide without looking at the cache. */
static __always_inline void decide(const struct node *node, const struct flow_key *key,
				   struct flow *flow)
{
	struct policy_key policy_key = { .home_address = key->local, .slot = node->slot };
	const struct policy *policy;

	flow->generation = node->generation;
	flow->rule = RULE_NONE;
	flow->path = PATH_NONE;
	policy = node->rule_count ? bpf_map_lookup_elem(&policies_map, &policy_key) : NULL;
	if (policy) {
		__u32 index = first_rule(policy, key, node->rule_count);

		if (index < MAX_RULES) {
			flow->rule = index;
			flow->path = policy->rules[index].path;
		}
	}
	if (flow->rule == RULE_NONE)
		flow->path = spread(node, flow_hash(key));
	flow->bid = flow->path < MAX_PATHS ? node->paths[flow->path].bid : 0;
}

/* The path of a packet, remembered for the rest of its flow. Returns an index or PATH_*. */
static __always_inline __u8 choose_path(const struct node *node, const struct flow_key *key,
					__u32 octets)
{
	struct flow *known = bpf_map_lookup_elem(&flows_map, key);
	struct flow flow = {};

	if (known && known->generation == node->generation) {
		known->last_seen_ns = bpf_ktime_get_ns();
		known->packets++;
		known->octets += octets;
		return known->path;
	}
	if (known) {
		flow.packets = known->packets;
		flow.octets = known->octets;
	}
	decide(node, key, &flow);
	flow.last_seen_ns = bpf_ktime_get_ns();
	flow.packets++;
	flow.octets += octets;
	bpf_map_update_elem(&flows_map, key, &flow, BPF_ANY);
	return flow.path;
}

#endif
