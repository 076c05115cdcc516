/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Out of the tunnels, at the ingress of an underlay.
 *
 * RFC 3024 4.3.2: a packet is taken only if its outer source is a registered care-of address and
 * its inner source belongs to that very node, in the encapsulation that was negotiated.
 */
#ifndef FLOWBIND_DECAPSULATE_H
#define FLOWBIND_DECAPSULATE_H

#include "shortcut.h"

#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO_REQUEST 8

/*
 * A tunnelled packet and where its headers lie. Lengths are octets. The inner header of minimal
 * encapsulation is not there yet: it is made of the outer one and what is behind it.
 */
struct tunnelled {
	struct iphdr outer;
	struct iphdr inner;
	struct udp_tunnel_header udp; /* its ports are 0 where there is none */
	__u32 protocol; /* that of the encapsulation, also behind UDP */
	__u32 mac_length;
	__u32 overhead; /* what is more of it than of the inner packet */
	__u32 inner_header;
	__u32 inner_length;
};

/* Where the inner header is, or would be if its octets were there. */
static __always_inline __u32 inner_at(const struct tunnelled *packet)
{
	return packet->mac_length + packet->overhead;
}

/*
 * Whether this is a tunnelled packet; notes in which protocol. RFC 3519 3.3: of what comes by UDP to
 * and from port 434 of the home agent the first octet tells it from messages, which are the daemon's.
 */
static __always_inline int is_tunnel(struct __sk_buff *skb, struct tunnelled *packet,
				     int at_home_agent, const struct settings *own)
{
	struct udp_tunnel_header *udp = &packet->udp;
	const struct iphdr *outer = &packet->outer;

	if (outer->frag_off & bpf_htons(IP_OFFSET_AND_MORE))
		return 0;
	packet->protocol = outer->protocol;
	packet->overhead = sizeof(*outer);
	if (outer->protocol != IPPROTO_UDP)
		return is_tunnel_protocol(outer->protocol) ||
		       (outer->protocol == IPPROTO_IPV6 && own->ipv6);
	if (bpf_skb_load_bytes(skb, inner_at(packet), udp, sizeof(*udp)))
		return 0;
	packet->protocol = udp->next_header;
	packet->overhead += sizeof(*udp);
	return udp->type == MIP_TUNNEL_DATA && udp->source && udp->destination &&
	       (at_home_agent ? udp->destination : udp->source) == bpf_htons(MOBILE_IP_PORT);
}

/* The octets up to the end of what is tunnelled, from the outer header on, or 0 for a bad length. */
static __always_inline __u32 tunnelled_length(struct __sk_buff *skb, const struct tunnelled *packet)
{
	__u32 outer_length = ipv4_length(skb, packet->mac_length, &packet->outer);
	__u32 length = sizeof(packet->outer) + bpf_ntohs(packet->udp.length);

	/* Of many segments at once the length is right only after they are cut up. */
	if (!packet->udp.source || skb->gso_size)
		return outer_length;
	return length <= outer_length ? length : 0;
}

/*
 * Step over a GRE header in front of a packet of this Ethernet type, which ends `length` octets from the
 * outer header, and note what is to be checked of it later. Returns 0 or the reason to refuse the packet.
 */
static __always_inline int load_gre(struct __sk_buff *skb, struct tunnelled *packet, __u16 type,
				    __u32 length)
{
	struct scratch *own = scratch();
	__u32 at = inner_at(packet);
	struct gre_header gre;
	long missing = 0;

	if (!own || bpf_skb_load_bytes(skb, at, &gre, sizeof(gre)))
		return COUNTER_DROP_MALFORMED;
	if (gre.flags & bpf_htons(GRE_REFUSED_FLAGS | GRE_VERSION))
		return COUNTER_DROP_GRE_UNSUPPORTED;
	if (gre.protocol != bpf_htons(type))
		return COUNTER_DROP_GRE_UNSUPPORTED;
	own->gre.at = at;
	own->gre.end = packet->mac_length + length;
	own->gre.flags = bpf_ntohs(gre.flags) & GRE_OPTIONS;
	packet->overhead += sizeof(gre);
	if (!own->gre.flags)
		return 0;
	at += sizeof(gre) + gre_word(own->gre.flags, GRE_CHECKSUM);
	if (own->gre.flags & GRE_KEY)
		missing |= bpf_skb_load_bytes(skb, at, &own->gre.key, sizeof(__be32));
	at += gre_word(own->gre.flags, GRE_KEY);
	if (own->gre.flags & GRE_SEQUENCE)
		missing |= bpf_skb_load_bytes(skb, at, &own->gre.sequence, sizeof(__be32));
	at += gre_word(own->gre.flags, GRE_SEQUENCE);
	packet->overhead = at - packet->mac_length;
	return missing ? COUNTER_DROP_MALFORMED : 0;
}

/*
 * RFC 2004 3: make the inner header of the outer one, which ends `length` octets from its beginning,
 * and of the forwarding header behind it. Returns 0 or the reason to refuse the packet.
 */
static __always_inline int load_minimal(struct __sk_buff *skb, struct tunnelled *packet,
					__u32 length)
{
	const __u32 without_source = sizeof(struct minimal_header) - sizeof(__be32);
	struct minimal_header forwarding = {};
	__u32 at = inner_at(packet);

	/* Nobody merges what is behind a header that no kernel knows. */
	if (skb->gso_size || bpf_skb_load_bytes(skb, at, &forwarding, without_source))
		return COUNTER_DROP_MALFORMED;
	if (forwarding.flags & MINIMAL_SOURCE_PRESENT &&
	    bpf_skb_load_bytes(skb, at + without_source, &forwarding.source, sizeof(__be32)))
		return COUNTER_DROP_MALFORMED;
	packet->overhead += minimal_length(forwarding.flags) - sizeof(packet->outer);
	packet->inner = packet->outer;
	packet->inner_header = sizeof(packet->inner);
	if (length < packet->overhead + packet->inner_header)
		return COUNTER_DROP_MALFORMED;
	packet->inner_length = length - packet->overhead;
	if (minimal_checksum(&forwarding))
		return COUNTER_DROP_MINIMAL_CHECKSUM;
	packet->inner.tot_len = bpf_htons(packet->inner_length);
	packet->inner.protocol = forwarding.protocol;
	packet->inner.daddr = forwarding.destination;
	if (forwarding.flags & MINIMAL_SOURCE_PRESENT)
		packet->inner.saddr = forwarding.source;
	packet->inner.check = 0;
	packet->inner.check = ipv4_checksum(&packet->inner);
	return 0;
}

/* Load the inner header behind outer ones of `length` octets with all they carry. Returns 0 or the
 * reason to refuse the packet. */
static __always_inline int load_inner(struct __sk_buff *skb, struct tunnelled *packet, __u32 length)
{
	packet->inner_header = load_ipv4(skb, inner_at(packet), &packet->inner);
	if (!packet->inner_header)
		return COUNTER_DROP_MALFORMED;
	packet->inner_length = ipv4_length(skb, inner_at(packet), &packet->inner);
	return packet->overhead + packet->inner_length > length ? COUNTER_DROP_MALFORMED : 0;
}

/* Load the headers behind those of `is_tunnel`. Returns 0 or the reason to refuse the packet. */
static __always_inline int load_tunnelled(struct __sk_buff *skb, struct tunnelled *packet)
{
	__u32 length = tunnelled_length(skb, packet);
	int refused = 0;

	if (ipv4_checksum(&packet->outer))
		return COUNTER_DROP_MALFORMED;
	if (!is_tunnel_protocol(packet->protocol))
		return COUNTER_DROP_ENCAPSULATION_MISMATCH;
	if (packet->protocol == IPPROTO_MINIMAL)
		refused = load_minimal(skb, packet, length);
	else if (packet->protocol == IPPROTO_GRE)
		refused = load_gre(skb, packet, ETH_P_IP, length);
	if (!refused && packet->protocol != IPPROTO_MINIMAL)
		refused = load_inner(skb, packet, length);
	if (refused)
		return refused;
	return packet->inner.ttl ? 0 : COUNTER_DROP_MALFORMED;
}

static __always_inline int congestion_marked(const struct tunnelled *packet)
{
	return (packet->outer.tos & ECN_MASK) == ECN_CE;
}

/*
 * What must or may not take a forwarding header comes by IP-in-IP through the same tunnel. That is a
 * fragment for one (RFC 2004 3), and with them whatever the far end has reason to send whole: who sees
 * one packet cannot tell, for the segments that were cut up behind the tunnel look like any.
 */
static __always_inline int is_whole_instead(const struct tunnelled *packet, const struct path *path)
{
	return path->protocol == IPPROTO_MINIMAL && packet->protocol == IPPROTO_IPIP;
}

/* The checks that both ends make once they know the path. Returns 0 or the reason to refuse. */
static __always_inline int check_path(struct __sk_buff *skb, const struct tunnelled *packet,
				      const struct path *path)
{
	if (!path)
		return packet->udp.source ? COUNTER_DROP_UDP_TUNNEL_UNKNOWN :
					    COUNTER_DROP_CARE_OF_ADDRESS_UNKNOWN;
	if (path->protocol != packet->protocol && !is_whole_instead(packet, path))
		return COUNTER_DROP_ENCAPSULATION_MISMATCH;
	/* RFC 6040 4.2: a congestion mark that the inner packet cannot take is a loss. */
	if (congestion_marked(packet) && !(packet->inner.tos & ECN_MASK))
		return COUNTER_DROP_CONGESTION_MARK;
	return packet->protocol == IPPROTO_GRE ? check_gre(skb, path) : 0;
}

/* Leave nothing but the inner packet. */
static __always_inline long take_out(struct __sk_buff *skb, const struct tunnelled *packet)
{
	long result = bpf_skb_adjust_room(skb, -(__s32)packet->overhead, BPF_ADJ_ROOM_MAC,
					  BPF_F_ADJ_ROOM_FIXED_GSO);

	if (result || packet->protocol != IPPROTO_MINIMAL)
		return result;
	return bpf_skb_store_bytes(skb, packet->mac_length, &packet->inner, sizeof(packet->inner),
				   BPF_F_RECOMPUTE_CSUM);
}

static __always_inline int out_of_tunnel(struct __sk_buff *skb, const struct tunnelled *packet,
					 const struct settings *own)
{
	int verdict;

	if (take_out(skb, packet))
		return refuse(COUNTER_DROP_DECAPSULATION_FAILED);
	count(COUNTER_DECAPSULATED_PACKETS);
	count_by(COUNTER_DECAPSULATED_OCTETS, packet->inner_length);
	/* RFC 6040 4.2: the mark of the outer header moves to the inner one. */
	if (congestion_marked(packet)) {
		bpf_skb_ecn_set_ce(skb);
	} else if (own->shortcut_out) {
		verdict = shortcut_out(skb, packet->mac_length, &packet->inner, own);
		if (verdict != TC_ACT_UNSPEC)
			return verdict;
	}
	return bpf_redirect(own->device_ifindex, BPF_F_INGRESS);
}

static __always_inline int is_echo_request(struct __sk_buff *skb, const struct tunnelled *packet,
					   const struct settings *own, struct icmp_header *icmp)
{
	if (packet->inner.daddr != own->home_agent || packet->inner.protocol != IPPROTO_ICMP)
		return 0;
	if (packet->inner_header != sizeof(packet->inner) || ipv4_checksum(&packet->inner) ||
	    packet->inner.frag_off & bpf_htons(IP_OFFSET_AND_MORE))
		return 0;
	if (bpf_skb_load_bytes(skb, inner_at(packet) + sizeof(packet->inner), icmp, sizeof(*icmp)))
		return 0;
	return icmp->type == ICMP_ECHO_REQUEST && icmp->code == 0;
}

static __always_inline void turn_around(struct iphdr *ip)
{
	__be32 source = ip->saddr;

	ip->saddr = ip->daddr;
	ip->daddr = source;
	ip->ttl = OUTER_TTL;
	ip->check = 0;
	ip->check = ipv4_checksum(ip);
}

/* Answer a keepalive on the path that it came by, so that no daemon is needed for it. */
static __always_inline int answer_echo(struct __sk_buff *skb, struct tunnelled *packet,
				       const struct path *path, struct icmp_header *icmp,
				       const struct settings *own)
{
	__u32 at = packet->mac_length;
	/* Only the type changes: 0x0800 becomes 0x0000 in the sum. */
	__u32 sum = (__u16)~icmp->checksum + (__u16)~bpf_htons(ICMP_ECHO_REQUEST << 8);
	__u32 length;

	icmp->type = ICMP_ECHO_REPLY;
	icmp->checksum = fold_checksum(sum);
	turn_around(&packet->inner);
	if (take_out(skb, packet) ||
	    bpf_skb_store_bytes(skb, at, &packet->inner, sizeof(packet->inner), 0) ||
	    bpf_skb_store_bytes(skb, at + sizeof(packet->inner), icmp, sizeof(*icmp), 0))
		return refuse(COUNTER_DROP_DECAPSULATION_FAILED);
	length = encapsulate(skb, at, packet->inner_length, path, &packet->inner);
	if (!length || (!at && add_ethernet_header(skb)))
		return refuse(COUNTER_DROP_ENCAPSULATION_FAILED);
	count(COUNTER_ECHO_ANSWERED);
	return send_through(skb, path, length, own);
}

/* A tunnelled packet at the home agent. */
static __always_inline int home_agent_decapsulate(struct __sk_buff *skb, struct tunnelled *packet,
						  const struct settings *own)
{
	struct ends ends = {
		.local = own->home_agent,
		.remote = packet->outer.saddr,
		.local_port = packet->udp.destination,
		.remote_port = packet->udp.source,
	};
	int refused = load_tunnelled(skb, packet);
	const struct path *path;
	const struct node *node;
	struct icmp_header icmp;

	if (refused)
		return refuse(refused);
	node = bpf_map_lookup_elem(&nodes_map, &packet->inner.saddr);
	if (!node)
		return refuse(COUNTER_DROP_INNER_ADDRESS);
	path = path_of(node, &ends);
	refused = check_path(skb, packet, path);
	if (refused || !path)
		return refuse(refused);
	if (is_echo_request(skb, packet, own, &icmp))
		return answer_echo(skb, packet, path, &icmp, own);
	return out_of_tunnel(skb, packet, own);
}

/* RFC 5944 4.3: what was broadcast at home, for a node that asked for it. */
static __always_inline int is_wanted_broadcast(const struct tunnelled *packet,
					       const struct settings *own)
{
	__be32 to = packet->inner.daddr;

	return own->broadcasts && (to == INADDR_BROADCAST || (to && to == own->home_broadcast));
}

/* A tunnelled packet at the mobile node. */
static __always_inline int mobile_node_decapsulate(struct __sk_buff *skb, struct tunnelled *packet,
						   const struct settings *own)
{
	struct ends ends = {
		.local = packet->outer.daddr,
		.remote = packet->outer.saddr,
		.local_port = packet->udp.destination,
		.remote_port = packet->udp.source,
	};
	int refused = load_tunnelled(skb, packet);
	const struct node *node;

	if (refused)
		return refuse(refused);
	if (packet->inner.daddr != own->home_address && !is_wanted_broadcast(packet, own))
		return refuse(COUNTER_DROP_INNER_ADDRESS);
	node = bpf_map_lookup_elem(&nodes_map, &own->home_address);
	if (!node)
		return refuse(COUNTER_DROP_NO_BINDING);
	refused = check_path(skb, packet, path_of(node, &ends));
	if (refused)
		return refuse(refused);
	return out_of_tunnel(skb, packet, own);
}

#endif
