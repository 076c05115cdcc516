/* SPDX-License-Identifier: GPL-2.0-only */
/* The GRE header (RFC 2784) with key and sequence number (RFC 2890), and what is kept of the latter. */
#ifndef FLOWBIND_GRE_H
#define FLOWBIND_GRE_H

#include "maps.h"
#include "parsing.h"

/* Which optional words follow, in this order, the checksum with 16 reserved bits. */
#define GRE_CHECKSUM 0x8000
#define GRE_KEY 0x2000
#define GRE_SEQUENCE 0x1000
#define GRE_OPTIONS (GRE_CHECKSUM | GRE_KEY | GRE_SEQUENCE)
/* Bits 1 and 4. RFC 2784 2.3 and erratum 3719, without those that RFC 2890 has given a meaning. */
#define GRE_REFUSED_FLAGS 0x4800
#define GRE_VERSION 0x0007

#define SCRATCH_CHUNKS 128 /* of SCRATCH_OCTETS each: as long as a packet can be */

/* After so long a silence of its kind a number that is too low begins the tunnel anew. */
#define SEQUENCE_LIFE_NS (10ull * 1000 * 1000 * 1000)
#define SEQUENCE_TRIES 4
#define SEQUENCE_WINDOW 0x7fffffff

/* The octets of an optional word: 4 or 0. Without a branch, so that the verifier looks at one case. */
static __always_inline __u32 gre_word(__u32 flags, __u32 flag)
{
	return (flags & flag) / flag * sizeof(__be32);
}

static __always_inline struct scratch *scratch(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&scratch_map, &key);
}

static __always_inline struct sequence *sequence_of(const struct path *path, __be32 key)
{
	struct scratch *own = scratch();
	struct sequence *sequence;

	if (!own)
		return NULL;
	own->tunnel.local = path->local;
	own->tunnel.remote = path->remote;
	own->tunnel.local_port = path->local_port;
	own->tunnel.remote_port = path->remote_port;
	own->tunnel.key = key;
	sequence = bpf_map_lookup_elem(&sequences_map, &own->tunnel);
	if (sequence)
		return sequence;
	/* RFC 2890 2.2: the first that is sent is 0, and the first that is expected. */
	own->fresh.sent = 0;
	own->fresh.received = 0xffffffff;
	own->fresh.received_ns = bpf_ktime_get_ns();
	/* Another processor may have been first. */
	bpf_map_update_elem(&sequences_map, &own->tunnel, &own->fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&sequences_map, &own->tunnel);
}

/*
 * Fill in the header of a packet of this Ethernet type that is sent into a path. Returns its octets.
 *
 * Segments that are still to be cut up would all get the same number, so they go without one, as RFC
 * 2890 2.2 allows for each packet: those of TCP are numbered by TCP. Not static, to spare the stack of who calls it.
 */
__noinline __u32 fill_gre(struct __sk_buff *skb, const struct path *path, __u32 type)
{
	struct sequence *sequence = NULL;
	struct scratch *own = scratch();
	struct gre_sent *gre;
	__u16 flags = 0;

	if (!own || !path)
		return 0;
	gre = &own->sent;
	__builtin_memset(gre, 0, sizeof(*gre));
	gre->header.protocol = bpf_htons(type);
	if (!path->gre)
		return sizeof(gre->header);
	if (path->gre & PATH_KEYED) {
		flags = GRE_KEY;
		gre->words[0] = path->send_key;
	}
	if (path->gre & PATH_NUMBERED && !skb->gso_size)
		sequence = sequence_of(path, path->send_key);
	if (sequence) {
		__u64 count = __sync_fetch_and_add(&sequence->sent, 1);
		__be32 number = bpf_htonl((__u32)count);

		if (flags)
			gre->words[1] = number;
		else
			gre->words[0] = number;
		flags |= GRE_SEQUENCE;
	}
	gre->header.flags = bpf_htons(flags);
	if (flags == (GRE_KEY | GRE_SEQUENCE))
		return sizeof(*gre);
	return flags ? sizeof(gre->header) + sizeof(gre->words[0]) : sizeof(gre->header);
}

/* Put the header of so many octets there that was filled in, if there is one. */
__noinline int store_gre(struct __sk_buff *skb, __u32 at, __u32 octets)
{
	struct scratch *own = scratch();
	__u64 bounded = ((octets - 1) & 0xf) + 1;

	if (!octets)
		return 0;
	/* The same number, said so that the verifier sees its bounds. */
	asm volatile("" : "+r"(bounded));
	if (!own || bounded > sizeof(own->sent))
		return -1;
	return bpf_skb_store_bytes(skb, at, &own->sent, bounded, 0);
}

/*
 * RFC 2890 2.2: whether a packet with this number comes behind all that came before. A gap is nothing
 * to wait for: a packet that is late is lost.
 *
 * A sender that is started anew begins with 0 again, and nothing would be taken from it for up to half
 * of all numbers. Discarding is a SHOULD, so that ends with a silence.
 */
__noinline int is_in_sequence(const struct path *path, __u32 number)
{
	struct sequence *sequence;
	__u64 now_ns;

	sequence = path ? sequence_of(path, path->receive_key) : NULL;
	if (!sequence)
		return 0;
	now_ns = bpf_ktime_get_ns();
	for (int i = 0; i < SEQUENCE_TRIES; i++) {
		__u64 last = *(volatile __u64 *)&sequence->received;

		if ((__u32)last - number <= SEQUENCE_WINDOW &&
		    now_ns <= sequence->received_ns + SEQUENCE_LIFE_NS)
			return 0;
		if (__sync_val_compare_and_swap(&sequence->received, last, number) == last) {
			sequence->received_ns = now_ns;
			return 1;
		}
	}
	/* Others were faster each time, and so with higher numbers. */
	return 0;
}

/*
 * Whether these octets of a packet, its GRE header first, sum up to what the checksum in them says
 * (RFC 2784 2.5). Nothing but a packet that carries one pays for it.
 *
 * Not static: the verifier then looks at the loop once, and not for each of its callers.
 */
__noinline int has_right_sum(struct __sk_buff *skb, __u32 at, __u32 left)
{
	struct scratch *own = scratch();
	__u64 octets;
	__s64 sum = 0;

	if (!own)
		return 0;
	for (int i = 0; i < SCRATCH_CHUNKS && left >= SCRATCH_OCTETS; i++) {
		if (bpf_skb_load_bytes(skb, at, own->words, SCRATCH_OCTETS))
			return 0;
		sum = bpf_csum_diff(NULL, 0, (__be32 *)own->words, SCRATCH_OCTETS, sum);
		at += SCRATCH_OCTETS;
		left -= SCRATCH_OCTETS;
	}
	if (left) {
		/* As it is, said so that the verifier sees the bounds. */
		octets = ((left - 1) & (SCRATCH_OCTETS - 1)) + 1;
		asm volatile("" : "+r"(octets));
		/* Behind the last octet 0 counts, also where it makes an odd number even. */
		__builtin_memset(own->words, 0, sizeof(own->words));
		if (bpf_skb_load_bytes(skb, at, own->words, octets))
			return 0;
		sum = bpf_csum_diff(NULL, 0, (__be32 *)own->words, SCRATCH_OCTETS, sum);
	}
	return !fold_checksum(sum);
}

/*
 * Whether the key of a packet is that of its path, or as there neither has one (RFC 6245 5).
 *
 * As long as nothing may be sent into a path, the registration that asks for a key is not answered,
 * and nobody here knows it yet.
 */
static __always_inline int has_right_key(const struct gre_received *gre, const struct path *path)
{
	if (!(path->gre & PATH_KEYED))
		return !(gre->flags & GRE_KEY);
	if (!path->transmit)
		return 1;
	return gre->flags & GRE_KEY && gre->key == path->receive_key;
}

/* What is to be checked of the header that was loaded once the path is known. Returns 0 or the reason to refuse. */
static __always_inline int check_gre(struct __sk_buff *skb, const struct path *path)
{
	const struct scratch *own = scratch();
	const struct gre_received *gre = &own->gre;

	if (!own)
		return COUNTER_DROP_MALFORMED;
	if (!has_right_key(gre, path))
		return COUNTER_DROP_GRE_KEY;
	if (!(gre->flags & (GRE_CHECKSUM | GRE_SEQUENCE)))
		return 0;
	/* What the kernel has merged it has looked at before. */
	if (gre->flags & GRE_CHECKSUM && !skb->gso_size &&
	    !has_right_sum(skb, gre->at, gre->end - gre->at))
		return COUNTER_DROP_GRE_CHECKSUM;
	if (gre->flags & GRE_SEQUENCE && !is_in_sequence(path, bpf_ntohl(gre->sequence)))
		return COUNTER_DROP_GRE_OUT_OF_SEQUENCE;
	return 0;
}

#endif
