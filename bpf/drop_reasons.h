/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every packet that is counted, and every reason for which one is refused.
 *
 * The names in lower case are the counters that `flowbind status` prints; dataplane/ebpf/layout.py
 * holds the same list, and a test compares the two through BTF.
 */
#ifndef FLOWBIND_DROP_REASONS_H
#define FLOWBIND_DROP_REASONS_H

enum counter {
	COUNTER_ENCAPSULATED_PACKETS,
	COUNTER_ENCAPSULATED_OCTETS,
	COUNTER_DECAPSULATED_PACKETS,
	COUNTER_DECAPSULATED_OCTETS,
	COUNTER_ECHO_ANSWERED,
	/* Leaving through the tunnels. */
	COUNTER_DROP_NO_BINDING,
	COUNTER_DROP_BY_RULE,
	COUNTER_DROP_NO_PATH,
	COUNTER_DROP_LOOP,
	COUNTER_DROP_TOO_BIG,
	COUNTER_DROP_ENCAPSULATION_FAILED,
	COUNTER_DROP_NO_ROUTE,
	/* Arriving through a tunnel. */
	COUNTER_DROP_CARE_OF_ADDRESS_UNKNOWN,
	COUNTER_DROP_INNER_ADDRESS,
	COUNTER_DROP_ENCAPSULATION_MISMATCH,
	COUNTER_DROP_MALFORMED,
	COUNTER_DROP_GRE_UNSUPPORTED,
	COUNTER_DROP_DECAPSULATION_FAILED,
	COUNTER_DROP_CONGESTION_MARK,
	COUNTER_COUNT,
};

#endif
