// SPDX-License-Identifier: GPL-2.0-only
/*
 * The data plane of flowbind: programs at tc over one set of maps.
 *
 *                   home agent                                mobile node
 *   device egress   home_agent_device                         mobile_node_device
 *   link ingress    home_agent_link (out of and into tunnels) mobile_node_link
 *
 * A link without Ethernet headers, such as a modem's, takes the program named `raw`. Those named
 * `explain` are attached nowhere: the daemon runs them to tell what becomes of a packet. Nothing here
 * waits for a daemon: while it restarts, packets go on by what the maps say. What is none of our
 * business is left with TC_ACT_UNSPEC to whatever else is attached to the link, then to the stack.
 */
#include "decapsulate6.h"
#include "explain6.h"

/* A packet with IP options in its outer header is no tunnel that either end would send. */
static __always_inline int load_outer(struct __sk_buff *skb, __u32 mac_length, struct iphdr *outer)
{
	return skb->protocol == bpf_htons(ETH_P_IP) &&
	       load_ipv4(skb, mac_length, outer) == sizeof(*outer);
}

static __always_inline int home_agent_ingress(struct __sk_buff *skb, __u32 mac_length)
{
	const struct settings *own = settings();
	struct tunnelled packet = { .mac_length = mac_length };

	if (own && skb->protocol == bpf_htons(ETH_P_IPV6))
		return shortcut_ingress6(skb, mac_length, own);
	if (!own || !load_outer(skb, mac_length, &packet.outer))
		return TC_ACT_UNSPEC;
	if (packet.outer.daddr == own->home_agent && is_tunnel(skb, &packet, 1, own)) {
		if (own->ipv6 && is_ipv6_inside(skb, &packet))
			return decapsulate6(skb, &packet, 1);
		return home_agent_decapsulate(skb, &packet, own);
	}
	return shortcut_ingress(skb, mac_length, &packet.outer, own);
}

static __always_inline int mobile_node_ingress(struct __sk_buff *skb, __u32 mac_length)
{
	const struct settings *own = settings();
	struct tunnelled packet = { .mac_length = mac_length };

	if (!own || !load_outer(skb, mac_length, &packet.outer))
		return TC_ACT_UNSPEC;
	/* Tunnels with others than the home agent are none of our business. */
	if (packet.outer.saddr == own->home_agent && is_tunnel(skb, &packet, 0, own)) {
		if (own->ipv6 && is_ipv6_inside(skb, &packet))
			return decapsulate6(skb, &packet, 0);
		return mobile_node_decapsulate(skb, &packet, own);
	}
	return TC_ACT_UNSPEC;
}

SEC("tc")
int home_agent_device(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return device_egress6(skb, 1);
	return device_egress(skb, 1);
}

SEC("tc")
int home_agent_link(struct __sk_buff *skb)
{
	return home_agent_ingress(skb, ETH_HLEN);
}

SEC("tc")
int home_agent_raw(struct __sk_buff *skb)
{
	return home_agent_ingress(skb, 0);
}

SEC("tc")
int mobile_node_device(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return device_egress6(skb, 0);
	return device_egress(skb, 0);
}

SEC("tc")
int mobile_node_link(struct __sk_buff *skb)
{
	return mobile_node_ingress(skb, ETH_HLEN);
}

SEC("tc")
int mobile_node_raw(struct __sk_buff *skb)
{
	return mobile_node_ingress(skb, 0);
}

SEC("tc")
int home_agent_explain(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return explain6(skb, 1);
	return explain(skb, 1);
}

SEC("tc")
int mobile_node_explain(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return explain6(skb, 0);
	return explain(skb, 0);
}

char license_of_programs[] SEC("license") = "GPL";
