/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the daemon writes and the programs read: every map, key and value.
 *
 * Layouts have no hidden padding (-Wpadded refuses it) and are compared with the Python side
 * through BTF. Addresses and ports are in network order unless a field says host order.
 *
 * The maps outlive the build that made them. Another one takes over those whose layout is the same,
 * and carries the rest over by the names of their fields (dataplane/ebpf/migration.py). So in a field
 * that is new 0 must mean what was done before there was one, and a field whose meaning changes takes
 * another name.
 */
#ifndef FLOWBIND_MAPS_H
#define FLOWBIND_MAPS_H

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "drop_reasons.h"

#define MAX_PATHS 8
#define MAX_RULES 64
#define MAX_BIDS 8
#define MAX_WEIGHT 16
#define MAX_NODES (1 << 20)
#define MAX_FLOWS (1 << 17)
#define MAX_FRAGMENTED (1 << 14)
#define MAX_NUMBERED (1 << 14)

/* In place of the BID of a binding that has none. */
#define PLAIN_BID 0
/* In place of an index into a node's paths. */
#define PATH_NONE 255
#define PATH_DROP 254
/* In place of it too: any of those that can send, for each packet anew. */
#define PATH_BY_PACKET 253
/* In place of the number of a rule: the weighted spread decided. */
#define RULE_NONE 255

/* In `gre` of a path: its packets have keys; those that we send are numbered (RFC 2890). */
#define PATH_KEYED 1
#define PATH_NUMBERED 2

/* One tunnel. `ifindex` 0 follows the routing table. `transmit` 0: accept packets, send none. With
 * ports it is one in UDP (RFC 3519). */
struct path {
	__be32 local;
	__be32 remote;
	__u32 ifindex;
	__u8 bid;
	__u8 protocol; /* IPPROTO_IPIP, IPPROTO_GRE or IPPROTO_MINIMAL */
	__u8 weight;
	__u8 label;
	__u8 transmit;
	__u8 gre; /* PATH_* */
	__u8 reserved[2];
	__be16 local_port;
	__be16 remote_port;
	__be32 send_key;
	__be32 receive_key;
};

/* A home address. `slot` says which of its two policies is in force, so that one can be replaced
 * while packets read the other; `generation` changes with every replacement and outdates the
 * flow cache. `mtu` is the largest packet that fits into every tunnel that it may take, 0 if that
 * is not known yet. */
struct node {
	__u32 generation;
	__u32 mtu;
	__u8 slot;
	__u8 path_count;
	__u8 rule_count;
	__u8 balance; /* BALANCE_*: what is spread over the paths where no rule decides */
	struct path paths[MAX_PATHS];
};

/* A flow rule in host order, every absent term widened to the whole range. `path` is what its
 * BID list comes to with the paths of today: an index, PATH_DROP, or PATH_NONE for inactive. */
struct rule {
	__u32 source_start;
	__u32 source_last;
	__u32 destination_start;
	__u32 destination_last;
	__u32 spi_start;
	__u32 spi_last;
	__u16 source_port_start;
	__u16 source_port_last;
	__u16 destination_port_start;
	__u16 destination_port_last;
	__u8 ds_start;
	__u8 ds_last;
	__u8 protocol_start;
	__u8 protocol_last;
	__u8 needs; /* NEEDS_*: what a packet must have at all */
	__u8 terms; /* TERM_*: which terms were given, for reading the rule back */
	__u8 path;
	__u8 bid_count;
	__u8 bids[MAX_BIDS];
};

#define BALANCE_FLOW 0
#define BALANCE_PACKET 1

#define NEEDS_PORTS 1
#define NEEDS_SPI 2

#define TERM_SOURCE 1
#define TERM_DESTINATION 2
#define TERM_SPI 4
#define TERM_SOURCE_PORT 8
#define TERM_DESTINATION_PORT 16
#define TERM_DS 32
#define TERM_PROTOCOL 64

struct policy_key {
	__be32 home_address;
	__u32 slot;
};

struct policy {
	struct rule rules[MAX_RULES];
};

/* A flow as both ends see it: remote is the correspondent, local the home address. */
struct flow_key {
	__be32 remote;
	__be32 local;
	__be16 remote_port;
	__be16 local_port;
	__be32 spi;
	__u8 protocol;
	__u8 ds; /* upper six bits */
	__u8 has; /* NEEDS_PORTS or NEEDS_SPI, if the packet has them */
	__u8 reserved;
};

struct flow {
	__u64 first_seen_ns;
	__u64 last_seen_ns;
	__u64 packets;
	__u64 octets;
	__u32 generation;
	__u8 path;
	__u8 rule;
	__u8 bid;
	__u8 reserved;
};

/* A packet that was cut up, and the flow that its first fragment belongs to. */
struct fragment_key {
	__be32 source;
	__be32 destination;
	__be16 id;
	__u8 protocol;
	__u8 reserved;
};

struct fragment {
	__u64 seen_ns;
	struct flow_key flow;
	__u32 reserved;
};

/* What the programs `explain` leave at the head of the packet that they are asked about. */
struct explanation {
	struct flow flow;
	__u8 has_node;
	__u8 is_cached; /* the flow is the one of the cache, with what it counted */
	__u8 reserved[6];
};

/* The daemon's own settings. A mobile node that asked for broadcasts takes those to everybody and to
 * its home network, whose address is `home_broadcast` if it is known. */
struct settings {
	__be32 home_agent;
	__be32 home_address; /* of the mobile node; 0 at a home agent */
	__u32 device_ifindex;
	__u32 shortcut; /* toward the nodes */
	__u32 shortcut_out; /* and from them */
	__u32 clamp_mss;
	__u32 broadcasts;
	__be32 home_broadcast;
	__u32 ipv6; /* there may be prefixes (RFC 5454) */
};

/* A flow of numbered GRE packets: those with one key through one tunnel (RFC 2890 2.2). It outlasts
 * whatever else is said of the tunnel. */
struct sequence_key {
	__be32 local;
	__be32 remote;
	__be16 local_port;
	__be16 remote_port;
	__be32 key;
};

/* `sent` is the next number, `received` the last that was in order, and `received_ns` when it came.
 * Numbers have 32 bits; compilers of today make atomic instructions that return something of 64. */
struct sequence {
	__u64 received_ns;
	__u64 received;
	__u64 sent;
};

struct gre_header {
	__be16 flags;
	__be16 protocol;
};

/* A GRE header that is sent: the key and the sequence number follow, as far as they are there. */
struct gre_sent {
	struct gre_header header;
	__be32 words[2];
};

/* A GRE header that has come: where it is, where what it is in front of ends, its GRE_OPTIONS. */
struct gre_received {
	__u32 at;
	__u32 end;
	__u32 flags;
	__be32 key;
	__be32 sequence;
};

/* What there is no room for on the stack. `words` are octets of a packet to be summed up. */
#define SCRATCH_OCTETS 512

struct scratch {
	struct sequence fresh;
	__u64 words[SCRATCH_OCTETS / 8];
	struct sequence_key tunnel;
	struct gre_received gre;
	struct gre_sent sent;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_NODES);
	__type(key, __be32);
	__type(value, struct node);
} nodes_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_NODES);
	__type(key, struct policy_key);
	__type(value, struct policy);
} policies_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FLOWS);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FRAGMENTED);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_NUMBERED);
	__type(key, struct sequence_key);
	__type(value, struct sequence);
} sequences_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTER_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} counters_map SEC(".maps");

/* Not inline: so the names of the counters get into the BTF. */
static __noinline void count_by(enum counter counter, __u64 amount)
{
	__u32 key = counter;
	__u64 *value = bpf_map_lookup_elem(&counters_map, &key);

	if (value)
		*value += amount;
}

static __always_inline void count(enum counter counter)
{
	count_by(counter, 1);
}

static __always_inline int refuse(enum counter reason)
{
	count(reason);
	return TC_ACT_SHOT;
}

static __always_inline const struct settings *settings(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&settings_map, &key);
}

#endif
