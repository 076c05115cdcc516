/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fragments go where their first one goes (RFC 6089 5.3.6): only that carries the ports or the SPI.
 *
 * What is remembered is the flow and not the path: so a policy that changes in the middle of a
 * packet holds for its rest, and all of it is counted to one flow.
 *
 * Who forges a first fragment can lead the others astray, but so he can spoil their reassembly.
 */
#ifndef FLOWBIND_FRAGMENTS_H
#define FLOWBIND_FRAGMENTS_H

#include "maps.h"
#include "parsing.h"

/* Longer than that Linux does not wait for the rest of a packet (RFC 791 asks for 15 s at least). An
 * Identification that comes by later is another packet's. */
#define FRAGMENT_LIFE_NS (30 * 1000000000ull)

static __always_inline int is_fragment(const struct iphdr *ip)
{
	return (ip->frag_off & bpf_htons(IP_OFFSET_AND_MORE)) != 0;
}

static __always_inline void fill_fragment_key(struct fragment_key *key, const struct iphdr *ip)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->source = ip->saddr;
	key->destination = ip->daddr;
	key->id = ip->id;
	key->protocol = ip->protocol;
}

/* Replace the key of a later fragment by that of its first one, if that one came by before. */
__noinline int recall_first_fragment(const struct iphdr *ip, struct flow_key *key)
{
	struct fragment_key packet;
	const struct fragment *first;

	if (!ip || !key || !(ip->frag_off & bpf_htons(IP_OFFSET)))
		return 0;
	fill_fragment_key(&packet, ip);
	first = bpf_map_lookup_elem(&fragments_map, &packet);
	if (first && bpf_ktime_get_ns() - first->seen_ns < FRAGMENT_LIFE_NS)
		*key = first->flow;
	return 0;
}

/* The same, and what is a first fragment is remembered for those that come later. */
__noinline int follow_first_fragment(const struct iphdr *ip, struct flow_key *key)
{
	struct fragment_key packet;
	struct fragment first = {};

	if (!ip || !key)
		return 0;
	if (ip->frag_off & bpf_htons(IP_OFFSET))
		return recall_first_fragment(ip, key);
	fill_fragment_key(&packet, ip);
	first.seen_ns = bpf_ktime_get_ns();
	first.flow = *key;
	bpf_map_update_elem(&fragments_map, &packet, &first, BPF_ANY);
	return 0;
}

#endif
