/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which path a packet takes: flow cache, then rules in order, then the weighted spread.
 *
 * model/decision.py is the same decision in Python; a test compares them packet by packet.
 */
#ifndef FLOWBIND_FLOW_H
#define FLOWBIND_FLOW_H

#include "fragments.h"
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

/* One of the paths that can send, by their weights: `number` is any at all. */
__noinline __u32 path_by_number(const struct node *node, __u32 number)
{
	__u32 total = 0, before = 0, place;

	if (!node)
		return PATH_NONE;
	for (__u32 i = 0; i < MAX_PATHS && i < node->path_count; i++)
		total += node->paths[i].transmit ? node->paths[i].weight : 0;
	place = (__u64)number * total >> 32;
	for (__u32 i = 0; i < MAX_PATHS && i < node->path_count; i++) {
		before += node->paths[i].transmit ? node->paths[i].weight : 0;
		if (place < before)
			return i;
	}
	return PATH_NONE;
}

/* A path for this packet alone. All fragments of one have the same Identification. */
static __always_inline __u8 path_by_packet(const struct node *node, const struct iphdr *ip)
{
	__u32 number;

	if (is_fragment(ip))
		number = mix(mix(ip->saddr ^ mix(ip->daddr)) ^ ip->id);
	else
		number = bpf_get_prandom_u32();
	return path_by_number(node, number);
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
	flow->bid = flow->path < MAX_PATHS ? node->paths[flow->path].bid : PLAIN_BID;
	/* Paths without a BID are all sent to: there is nothing to spread. */
	if (flow->rule == RULE_NONE && node->balance == BALANCE_PACKET && flow->bid != PLAIN_BID) {
		flow->path = PATH_BY_PACKET;
		flow->bid = PLAIN_BID;
	}
}

/* Whether the cache has the decision for a flow, and has it by what is in force now. */
static __always_inline int is_current(const struct flow *known, const struct node *node)
{
	return known && known->generation == node->generation;
}

/* Decide for a flow that the cache does not know or no longer knows, and remember it. */
static __always_inline __u8 decide_anew(const struct node *node, const struct flow_key *key,
					const struct flow *known, __u32 octets)
{
	struct flow flow = {};

	if (known)
		flow = *known;
	decide(node, key, &flow);
	flow.last_seen_ns = bpf_ktime_get_ns();
	if (!flow.first_seen_ns)
		flow.first_seen_ns = flow.last_seen_ns;
	flow.packets++;
	flow.octets += octets;
	bpf_map_update_elem(&flows_map, key, &flow, BPF_ANY);
	return flow.path;
}

/* The path of a packet of `octets`, remembered for the rest of its flow. Returns an index or
 * PATH_NONE or PATH_DROP. The key is that of the packet; for a later fragment it becomes that of
 * the first one. */
static __always_inline __u8 choose_path(const struct node *node, const struct iphdr *ip,
					struct flow_key *key, __u32 octets)
{
	struct flow *known;
	__u8 path;

	if (is_fragment(ip))
		follow_first_fragment(ip, key);
	known = bpf_map_lookup_elem(&flows_map, key);
	if (is_current(known, node)) {
		known->last_seen_ns = bpf_ktime_get_ns();
		known->packets++;
		known->octets += octets;
		path = known->path;
	} else {
		path = decide_anew(node, key, known, octets);
	}
	return path == PATH_BY_PACKET ? path_by_packet(node, ip) : path;
}

#endif
