// SPDX-License-Identifier: GPL-2.0-only
/*
 * The data plane of flowbind: four programs at tc over one set of maps.
 *
 *                   home agent                                mobile node
 *   device egress   home_agent_device                         mobile_node_device
 *   link ingress    home_agent_link (out of and into tunnels) mobile_node_link
 *
 * Nothing here waits for a daemon: while it restarts, packets go on by what the maps say.
 */
#include "decapsulate.h"

/* A packet with IP options in its outer header is no tunnel that either end would send. */
static __always_inline int load_outer(struct __sk_buff *skb, struct iphdr *outer)
{
	return skb->protocol == bpf_htons(ETH_P_IP) &&
	       load_ipv4(skb, ETH_HLEN, outer) == sizeof(*outer);
}

SEC("tc")
int home_agent_device(struct __sk_buff *skb)
{
	return device_egress(skb, 1);
}

SEC("tc")
int mobile_node_device(struct __sk_buff *skb)
{
	return device_egress(skb, 0);
}

SEC("tc")
int home_agent_link(struct __sk_buff *skb)
{
	const struct settings *own = settings();
	struct tunnelled packet = {};

	if (!own || !load_outer(skb, &packet.outer))
		return TC_ACT_OK;
	if (packet.outer.daddr == own->home_agent && is_tunnel(&packet.outer))
		return home_agent_decapsulate(skb, &packet, own);
	return shortcut_ingress(skb, own);
}

SEC("tc")
int mobile_node_link(struct __sk_buff *skb)
{
	const struct settings *own = settings();
	struct tunnelled packet = {};

	if (!own || !load_outer(skb, &packet.outer))
		return TC_ACT_OK;
	/* Tunnels with others than the home agent are none of our business. */
	if (packet.outer.saddr == own->home_agent && is_tunnel(&packet.outer))
		return mobile_node_decapsulate(skb, &packet, own);
	return TC_ACT_OK;
}

char license_of_programs[] SEC("license") = "GPL";
