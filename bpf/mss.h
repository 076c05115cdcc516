/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The MSS that both ends of a TCP connection tell each other, lowered to what fits into the tunnel.
 *
 * A sender whose firewall drops every ICMP never hears that its segments are too big.
 */
#ifndef FLOWBIND_MSS_H
#define FLOWBIND_MSS_H

#include "parsing.h"

#define TCP_HEADER 20
#define TCP_CHECKSUM 16
#define TCP_MAX_OPTIONS 40
#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_MSS 2

/* An option of TCP, as far as that of the MSS goes. */
struct tcp_option {
	__u8 kind;
	__u8 length;
	__be16 mss;
};

/* Write an MSS over another, which may be anywhere between even and odd octets of the sum. */
static __always_inline int replace_mss(struct __sk_buff *skb, __u32 tcp, __u32 at, __be16 before,
				       __be16 after)
{
	int odd = (at - tcp) & 1;

	if (bpf_skb_store_bytes(skb, at, &after, sizeof(after), 0))
		return -1;
	if (odd) {
		before = __builtin_bswap16(before);
		after = __builtin_bswap16(after);
	}
	return bpf_l4_csum_replace(skb, tcp + TCP_CHECKSUM, before, after, sizeof(after));
}

/*
 * Let a SYN, whose TCP header lies at `tcp`, offer no larger MSS. Returns 0, or less if the packet is
 * spoilt. Not static: the verifier then looks at it once. The IP version makes no difference.
 */
__noinline int clamp_mss(struct __sk_buff *skb, __u32 tcp, __u32 largest)
{
	__u32 at = tcp + TCP_HEADER;
	struct tcp_option option;
	__u8 data_offset = 0;
	__u32 end;

	if (bpf_skb_load_bytes(skb, tcp + TCP_DATA_OFFSET, &data_offset, sizeof(data_offset)))
		return 0;
	end = tcp + (data_offset >> 4) * 4u;
	for (int i = 0; i < TCP_MAX_OPTIONS; i++) {
		/* What is shorter than an MSS is none. */
		if (at + sizeof(option) > end)
			return 0;
		if (bpf_skb_load_bytes(skb, at, &option, sizeof(option)))
			return 0;
		if (option.kind == TCP_OPTION_NOP) {
			at++;
			continue;
		}
		if (option.kind == TCP_OPTION_END || option.length < 2)
			return 0;
		if (option.kind == TCP_OPTION_MSS && option.length == sizeof(option))
			break;
		at += option.length;
	}
	if (option.kind != TCP_OPTION_MSS || bpf_ntohs(option.mss) <= largest)
		return 0;
	count(COUNTER_MSS_CLAMPED);
	return replace_mss(skb, tcp, at + __builtin_offsetof(struct tcp_option, mss), option.mss,
			   bpf_htons(largest));
}

#endif
