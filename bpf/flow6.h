/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which path an IPv6 packet takes, in the same order as one of IPv4 (flow.h): flow cache, then rules,
 * then the weighted spread. model/decision.py is the same decision in Python.
 */
#ifndef FLOWBIND_FLOW6_H
#define FLOWBIND_FLOW6_H

#include "flow.h"
#include "ipv6.h"

static __always_inline __u32 mix_address(__u32 hash, const struct address6 *address)
{
	for (int i = 0; i < 4; i++)
		hash = mix(hash ^ bpf_ntohl(address->words[i]));
	return hash;
}

static __always_inline __u32 flow6_hash(const struct flow6_key *key)
{
	__u32 ports = ((__u32)bpf_ntohs(key->remote_port) << 16) | bpf_ntohs(key->local_port);
	__u32 hash = mix_address(mix_address(0, &key->remote), &key->local);

	hash = mix(hash ^ ports);
	return mix(hash ^ key->protocol);
}

static __always_inline __u64 half_of(const struct address6 *address, int lower)
{
	return (__u64)bpf_ntohl(address->words[lower ? 2 : 0]) << 32 |
	       bpf_ntohl(address->words[lower ? 3 : 1]);
}

static __always_inline int within6(const struct address6 *address, const struct range6 *range)
{
	__u64 upper = half_of(address, 0), lower = half_of(address, 1);

	if (upper < range->start[0] || upper > range->last[0])
		return 0;
	if (upper == range->start[0] && lower < range->start[1])
		return 0;
	return upper != range->last[0] || lower <= range->last[1];
}

/* One term after the other, the cheap ones first. */
static __always_inline int rule6_matches(const struct rule6 *rule, const struct flow6_key *key)
{
	return (rule->needs & key->has) == rule->needs &&
	       within(key->protocol, rule->protocol_start, rule->protocol_last) &&
	       within(key->ds, rule->ds_start, rule->ds_last) &&
	       within(bpf_ntohs(key->remote_port), rule->source_port_start,
		      rule->source_port_last) &&
	       within(bpf_ntohs(key->local_port), rule->destination_port_start,
		      rule->destination_port_last) &&
	       within(key->flow_label, rule->flow_label_start, rule->flow_label_last) &&
	       within(bpf_ntohl(key->spi), rule->spi_start, rule->spi_last) &&
	       within6(&key->remote, &rule->source) && within6(&key->local, &rule->destination);
}

/* The first rule that matches and can be carried out, or RULE_NONE. */
__noinline __u32 first_rule6(const struct policy6 *policy, const struct flow6_key *key,
			     __u32 rule_count)
{
	if (!policy || !key)
		return RULE_NONE;
	for (__u32 i = 0; i < MAX_RULES; i++) {
		const struct rule6 *rule = &policy->rules[i];

		if (i >= rule_count)
			break;
		if (rule->path != PATH_NONE && rule6_matches(rule, key))
			return i;
	}
	return RULE_NONE;
}

/* Decide for the packet in packet6_map without looking at the cache. */
static __always_inline void decide6(const struct node *node, struct packet6 *packet)
{
	struct policy_key policy_key = { .home_address = packet->home_address, .slot = node->slot };
	struct flow *flow = &packet->flow;
	const struct policy6 *policy;

	flow->generation = node->generation;
	flow->rule = RULE_NONE;
	flow->path = PATH_NONE;
	policy = node->rule_count ? bpf_map_lookup_elem(&policies6_map, &policy_key) : NULL;
	if (policy) {
		__u32 index = first_rule6(policy, &packet->key, node->rule_count);

		if (index < MAX_RULES) {
			flow->rule = index;
			flow->path = policy->rules[index].path;
		}
	}
	if (flow->rule == RULE_NONE)
		flow->path = spread(node, flow6_hash(&packet->key));
	flow->bid = flow->path < MAX_PATHS ? node->paths[flow->path].bid : PLAIN_BID;
	if (flow->rule == RULE_NONE && node->balance == BALANCE_PACKET && flow->bid != PLAIN_BID) {
		flow->path = PATH_BY_PACKET;
		flow->bid = PLAIN_BID;
	}
}

/* A path for this packet alone. All fragments of one have the same Identification. */
static __always_inline __u32 path6_by_packet(const struct node *node, const struct packet6 *packet)
{
	__u32 number = bpf_get_prandom_u32();

	if (packet->is_fragment) {
		number = mix_address(mix_address(0, &packet->key.remote), &packet->key.local);
		number = mix(number ^ packet->fragment.id);
	}
	return path_by_number(node, number);
}

/* RFC 6089 5.3.6: a later fragment belongs to the flow of its first one. */
static __always_inline void recall_first_fragment6(struct packet6 *packet)
{
	const struct first_fragment6 *first = bpf_map_lookup_elem(&fragments6_map, &packet->fragment);

	if (first && bpf_ktime_get_ns() - first->seen_ns < FRAGMENT_LIFE_NS)
		packet->key = first->flow;
}

static __always_inline void follow_first_fragment6(struct packet6 *packet)
{
	if (packet->is_later_fragment) {
		recall_first_fragment6(packet);
		return;
	}
	packet->first.seen_ns = bpf_ktime_get_ns();
	packet->first.flow = packet->key;
	bpf_map_update_elem(&fragments6_map, &packet->fragment, &packet->first, BPF_ANY);
}

/* The path of the packet in packet6_map, remembered for the rest of its flow. Returns an index,
 * PATH_NONE or PATH_DROP. Not static, so that the verifier looks at it once. */
__noinline __u32 choose_path6(void)
{
	struct packet6 *packet = packet6();
	const struct node *node;
	struct flow *known;
	__u32 path;

	if (!packet)
		return PATH_NONE;
	node = bpf_map_lookup_elem(&nodes_map, &packet->home_address);
	if (!node)
		return PATH_NONE;
	if (packet->is_fragment)
		follow_first_fragment6(packet);
	known = bpf_map_lookup_elem(&flows6_map, &packet->key);
	if (is_current(known, node)) {
		known->last_seen_ns = bpf_ktime_get_ns();
		known->packets++;
		known->octets += packet->octets;
		path = known->path;
	} else {
		if (known)
			packet->flow = *known;
		else
			__builtin_memset(&packet->flow, 0, sizeof(packet->flow));
		decide6(node, packet);
		packet->flow.last_seen_ns = bpf_ktime_get_ns();
		if (!packet->flow.first_seen_ns)
			packet->flow.first_seen_ns = packet->flow.last_seen_ns;
		packet->flow.packets++;
		packet->flow.octets += packet->octets;
		bpf_map_update_elem(&flows6_map, &packet->key, &packet->flow, BPF_ANY);
		path = packet->flow.path;
	}
	return path == PATH_BY_PACKET ? path6_by_packet(node, packet) : path;
}

#endif
