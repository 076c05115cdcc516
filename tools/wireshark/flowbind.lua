-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- Wireshark dissector of the extensions of RFC 7629, Flow-Binding Support for Mobile IP: type 154,
-- subtype 1 (Multipath) and subtype 2 (Flow-Binding) with both traffic selectors of RFC 6088.
--
--   tshark -X lua_script:tools/wireshark/flowbind.lua -r FILE -O flowbind
--
-- Fields, expert information, and what to do as root: docs/wireshark.md. Tried with Wireshark 4.0.
--
-- It is written from the two RFCs and shares nothing with the decoder in src/, so that each can find
-- the other wrong. A receiver stops at the first fault of an extension; this names them all.
--
-- Wireshark's own dissector of Mobile IP takes type 154 for a short extension, reads its Subtype as
-- Length, and goes astray. So this one takes over UDP port 434, walks the extensions itself, and has
-- the other dissect a copy of the message from which type 154 is cut.

local flowbind = Proto("flowbind", "RFC 7629 Flow-Binding Support for Mobile IP")

flowbind.prefs.cut = Pref.bool(
    "Hide type 154 from the dissector of Mobile IP", true,
    "Have it dissect a copy of the message without the extensions of type 154, which it misreads")

local MOBILE_IP_PORT = 434
local FIRST_SKIPPABLE_TYPE = 128
local PADDING, MOBILE_HOME_AUTHENTICATION, DYNAMIC_HOME_AGENT, MULTIPATH_TYPE = 0, 32, 139, 154

-- Octets in front of the extensions, by message type: only these two have them behind a fixed part
-- of RFC 5944 3.3 and 3.4.
local REGISTRATION_REQUEST, REGISTRATION_REPLY = 1, 3
local FIXED_OCTETS = {[REGISTRATION_REQUEST] = 24, [REGISTRATION_REPLY] = 20}

local function set(...)
    local members = {}
    for _, member in ipairs({...}) do
        members[member] = true
    end
    return members
end

-- Type, Subtype, two octets of Length (RFC 5944 1.10). Nothing in an extension tells its format.
local LONG_TYPES = set(36, 38, 40, 41, 42, 43, 47, 48, 50, 127, MULTIPATH_TYPE)
-- Type and one octet of Length, among the types that a receiver may not skip (RFC 5944 1.9, 1.11).
local ONE_OCTET_LENGTH_TYPES = set(32, 33, 34, 44, 45, 46, 49)

local ACTIONS = {[0] = "DROP", [1] = "FORWARD"}
local SUBTYPES = {[1] = "Multipath", [2] = "Flow-Binding"}
local FORMATS = {[1] = "IPv4 binary traffic selector", [2] = "IPv6 binary traffic selector"}
-- RFC 5213 8.5 and the registry that it made.
local ACCESS_TECHNOLOGIES = {
    [0] = "Reserved", [1] = "Virtual", [2] = "PPP", [3] = "IEEE 802.3", [4] = "IEEE 802.11a/b/g",
    [5] = "IEEE 802.16e", [6] = "3GPP GERAN", [7] = "3GPP UTRAN", [8] = "3GPP E-UTRAN",
    [9] = "3GPP2 eHRPD", [10] = "3GPP2 HRPD", [11] = "3GPP2 1xRTT", [12] = "3GPP2 UMB",
    [13] = "3GPP NB-IoT",
}
local PROTOCOLS = {
    [1] = "ICMP", [2] = "IGMP", [4] = "IPv4", [6] = "TCP", [17] = "UDP", [33] = "DCCP", [41] = "IPv6",
    [47] = "GRE", [50] = "ESP", [51] = "AH", [58] = "ICMPv6", [132] = "SCTP", [136] = "UDP-Lite",
}

-- ---------------------------------------------------------------- fields

local fields = {
    type = ProtoField.uint8("flowbind.type", "Type"),
    subtype = ProtoField.uint8("flowbind.subtype", "Subtype", base.DEC, SUBTYPES),
    length = ProtoField.uint16("flowbind.length", "Length"),
    data = ProtoField.bytes("flowbind.data", "Data"),

    multipath = ProtoField.none("flowbind.multipath", "Multipath"),
    att = ProtoField.uint8("flowbind.multipath.att", "If-ATT", base.DEC, ACCESS_TECHNOLOGIES),
    label = ProtoField.uint8("flowbind.multipath.label", "If-Label"),
    multipath_bid = ProtoField.uint8("flowbind.multipath.bid", "Binding ID"),
    b = ProtoField.bool("flowbind.multipath.b", "B, bulk re-registration", 8, nil, 0x80),
    o = ProtoField.bool("flowbind.multipath.o", "O, registration overwrite", 8, nil, 0x40),
    multipath_reserved = ProtoField.uint8(
        "flowbind.multipath.reserved", "Reserved", base.HEX, nil, 0x3F),

    flow_binding = ProtoField.none("flowbind.flow_binding", "Flow-Binding"),
    action = ProtoField.uint8("flowbind.flow_binding.action", "Action", base.DEC, ACTIONS),
    bid_count = ProtoField.uint8("flowbind.flow_binding.bid_count", "BID Count"),
    bid = ProtoField.uint8("flowbind.flow_binding.bid", "Binding ID"),
    ts_format = ProtoField.uint8("flowbind.flow_binding.ts_format", "TS Format", base.DEC, FORMATS),

    ts = ProtoField.none("flowbind.ts", "Traffic Selector"),
    ts_flags = ProtoField.uint32("flowbind.ts.flags", "Flags", base.HEX),

    other = ProtoField.none("flowbind.other", "Extension of type 154"),
}

-- What a value is called in the line that sums a selector up.

local function address4(range)
    local octets = {}
    for at = 0, 3 do
        octets[at + 1] = range(at, 1):uint()
    end
    return table.concat(octets, ".")
end

local function address6(range)
    local groups = {}
    for at = 0, 7 do
        groups[at + 1] = string.format("%x", range(2 * at, 2):uint())
    end
    local text = ":" .. table.concat(groups, ":") .. ":"
    for count = 8, 2, -1 do
        local first, last = text:find(":" .. string.rep("0", count, ":") .. ":", 1, true)
        if first then
            text = text:sub(1, first - 1) .. "::" .. text:sub(last + 1)
            break
        end
    end
    -- The colons at the ends were there for the search, unless they are those of "::".
    return (text:gsub("^:([^:])", "%1"):gsub("([^:]):$", "%1"))
end

local function number(range)
    return string.format("%d", range:uint())
end

local function spi(range)
    return string.format("0x%08x", range:uint())
end

local function flow_label(range)
    return string.format("0x%05x", range:uint() % 0x1000000)
end

local function dscp(range)
    return string.format("%d", range:bitfield(0, 6))
end

local function protocol(range)
    return PROTOCOLS[range:uint()] or number(range)
end

-- What of a value counts in a range, as numbers of which the first is the most significant.

local function words(range)
    local found = {}
    for at = 0, range:len() - 1, 4 do
        found[#found + 1] = range(at, 4):uint()
    end
    return found
end

local function value(range)
    return {range:uint()}
end

-- RFC 6088 3.1: the two low bits of DS are those of ECN and are ignored.
local function six_bits(range)
    return {range:bitfield(0, 6)}
end

-- RFC 6088 3.2: the eight bits in front of a flow label are ignored.
local function three_octets(range)
    return {range:uint() % 0x1000000}
end

local uint8, uint16, uint32 = ProtoField.uint8, ProtoField.uint16, ProtoField.uint32
local DS = {octets = 1, make = uint8, base = base.HEX, text = dscp, compared = six_bits}
local PROTOCOL = {
    octets = 1, make = uint8, base = base.DEC, names = PROTOCOLS, text = protocol, compared = value,
}
local PORT = {octets = 2, make = uint16, base = base.DEC, text = number, compared = value}
local SPI = {octets = 4, make = uint32, base = base.HEX, text = spi, compared = value}
local FLOW_LABEL = {
    octets = 4, make = uint32, base = base.HEX, text = flow_label, compared = three_octets,
}
local IPV4 = {octets = 4, make = ProtoField.ipv4, text = address4, compared = words}
local IPV6 = {octets = 16, make = ProtoField.ipv6, text = address6, compared = words}

-- The fields of a traffic selector in the order of their flags: each has a flag for its start, then
-- one for its end (RFC 6088 3.1, 3.2). Name, title, kind, and the word in the summary.
local SELECTORS = {
    [1] = {
        {"source", "Source Address", IPV4, "from"},
        {"destination", "Destination Address", IPV4, "to"},
        {"spi", "IPsec SPI", SPI, "SPI"},
        {"source_port", "Source Port", PORT, "source port"},
        {"destination_port", "Destination Port", PORT, "destination port"},
        {"ds", "DS", DS, "DSCP"},
        {"protocol", "Protocol", PROTOCOL, "protocol"},
    },
    [2] = {
        {"source6", "Source Address", IPV6, "from"},
        {"destination6", "Destination Address", IPV6, "to"},
        {"spi", "IPsec SPI", SPI, "SPI"},
        {"flow_label", "Flow Label", FLOW_LABEL, "flow label"},
        {"source_port", "Source Port", PORT, "source port"},
        {"destination_port", "Destination Port", PORT, "destination port"},
        {"traffic_class", "Traffic Class", DS, "DSCP"},
        {"next_header", "Next Header", PROTOCOL, "next header"},
    },
}
local LETTERS = "ABCDEFGHIJKLMNOP"

local function add_field(key, title, kind)
    if fields["ts_" .. key] then
        return
    end
    local name = "flowbind.ts." .. key
    if kind.base then
        fields["ts_" .. key] = kind.make(name, title, kind.base, kind.names)
    else
        fields["ts_" .. key] = kind.make(name, title)
    end
end

for _, rows in ipairs(SELECTORS) do
    for _, row in ipairs(rows) do
        add_field(row[1] .. "_start", "Start " .. row[2], row[3])
        add_field(row[1] .. "_end", "End " .. row[2], row[3])
    end
end

flowbind.fields = fields

-- ---------------------------------------------------------------- expert information

local experts = {}

local function add_expert(name, text, severity, group)
    experts[name] = ProtoExpert.new(
        "flowbind.expert." .. name, text, group or expert.group.MALFORMED, severity)
end

local ERROR, WARN, NOTE = expert.severity.ERROR, expert.severity.WARN, expert.severity.NOTE

add_expert("multipath_length", "The Length of Multipath is not 4 (RFC 7629 4.1)", ERROR)
add_expert("multipath_bid", "BID 0 and 255 are reserved (RFC 7629 4.1)", ERROR)
add_expert("multipath_label", "If-Label 0 is not legal (RFC 7629 4.1)", ERROR)
add_expert("multipath_b_and_o", "B and O are both set (RFC 7629 4.1)", ERROR)
add_expert("multipath_twice", "More than one Multipath extension (RFC 7629 4.1)", ERROR)
add_expert("multipath_in_reply", "Multipath in a Registration Reply (RFC 7629 4.1)", ERROR)
add_expert("multipath_o_in_deregistration", "O is set in a deregistration (RFC 7629 4.1)", WARN,
    expert.group.PROTOCOL)
add_expert("flow_binding_action", "An Action other than DROP and FORWARD (RFC 7629 4.2)", ERROR)
add_expert("flow_binding_bid_count", "BID Count is not 1 to 8 (RFC 7629 4.2)", ERROR)
add_expert("flow_binding_drop_bids", "DROP with a BID Count other than 1 (RFC 7629 4.2)", ERROR)
add_expert("flow_binding_bid", "BID 0 and 255 are reserved (RFC 7629 4.1)", WARN,
    expert.group.PROTOCOL)
add_expert("flow_binding_truncated", "Flow-Binding ends in front of its selector (RFC 7629 4.2)",
    ERROR)
add_expert("flow_binding_ts_format", "A TS Format other than 1 and 2 (RFC 7629 4.2)", ERROR)
add_expert("ts_length", "The selector is longer or shorter than its flags say (RFC 6088 3)", ERROR)
add_expert("ts_end_without_start", "An end without a start (RFC 6088 3)", ERROR)
add_expert("ts_range_reversed", "The start of a range is behind its end", ERROR)
add_expert("reserved_bits", "Reserved bits are set; a receiver ignores them", NOTE,
    expert.group.PROTOCOL)
add_expert("unknown_subtype", "A subtype of type 154 that is not assigned: a receiver discards the "
    .. "message (RFC 5944 1.8)", ERROR)
add_expert("behind_authentication", "Type 154 behind the Mobile-Home Authentication Extension, which "
    .. "does not cover it (RFC 7629 4.1, 4.2)", WARN, expert.group.SECURITY)
add_expert("unknown_type", "A type below 128 that is not known: a receiver discards the message, and "
    .. "what follows is not dissected (RFC 5944 1.8)", WARN, expert.group.UNDECODED)
add_expert("truncated", "An extension that is longer than the message", ERROR)
add_expert("cut_short", "The capture has only the beginning of the packet", NOTE,
    expert.group.UNDECODED)

flowbind.experts = experts

-- ---------------------------------------------------------------- the walk over the extensions

-- Where the content of the extension at `first` begins and where it ends, or nothing and the name of
-- an expert information. All of it is octets of `tvb`; the end need not be.
local function frame(tvb, first)
    local kind, left = tvb(first, 1):uint(), tvb:len() - first
    if kind == PADDING then
        return first + 1, first + 1
    end
    local long = LONG_TYPES[kind]
    if kind == DYNAMIC_HOME_AGENT and left >= 4 then
        -- The figure of RFC 4433 is long, its erratum 898 is short with 5 as Length; both have an
        -- address inside.
        local subtype = tvb(first + 1, 1):uint()
        long = (subtype == 1 or subtype == 2) and tvb(first + 2, 2):uint() == 4
    end
    if long then
        if left < 4 then
            return nil, "truncated"
        end
        return first + 4, first + 4 + tvb(first + 2, 2):uint()
    end
    if kind < FIRST_SKIPPABLE_TYPE and not ONE_OCTET_LENGTH_TYPES[kind] then
        return nil, "unknown_type"
    end
    if left < 2 then
        return nil, "truncated"
    end
    return first + 2, first + 2 + tvb(first + 1, 1):uint()
end

-- All extensions from `first` on. When the walk ends early: where, and the name of the reason.
local function walk(tvb, first)
    local found = {}
    while first < tvb:len() do
        local data, behind = frame(tvb, first)
        if not data then
            return found, first, behind
        end
        if behind > tvb:len() then
            return found, first, "truncated"
        end
        found[#found + 1] = {
            type = tvb(first, 1):uint(), first = first, data = data, behind = behind,
        }
        first = behind
    end
    return found
end

-- ---------------------------------------------------------------- Multipath

local function dissect_multipath(tvb, each, message, branch)
    local octets = each.behind - each.data
    if message.type == REGISTRATION_REPLY then
        branch:add_proto_expert_info(experts.multipath_in_reply)
    end
    if message.multipaths > 1 then
        branch:add_proto_expert_info(experts.multipath_twice)
    end
    if octets ~= 4 then
        branch:add_proto_expert_info(
            experts.multipath_length, string.format("Length %d instead of 4 (RFC 7629 4.1)", octets))
        if octets > 0 then
            branch:add(fields.data, tvb(each.data, octets))
        end
        return
    end
    local label, bid, flags = tvb(each.data + 1, 1), tvb(each.data + 2, 1), tvb(each.data + 3, 1)
    branch:add(fields.att, tvb(each.data, 1))
    local label_item = branch:add(fields.label, label)
    if label:uint() == 0 then
        label_item:add_proto_expert_info(experts.multipath_label)
    end
    local bid_item = branch:add(fields.multipath_bid, bid)
    if bid:uint() == 0 or bid:uint() == 255 then
        bid_item:add_proto_expert_info(experts.multipath_bid)
    end
    branch:add(fields.b, flags)
    local o_item = branch:add(fields.o, flags)
    local reserved = branch:add(fields.multipath_reserved, flags)
    local b, o = flags:bitfield(0, 1) == 1, flags:bitfield(1, 1) == 1
    if b and o then
        o_item:add_proto_expert_info(experts.multipath_b_and_o)
    end
    if o and message.deregisters then
        o_item:add_proto_expert_info(experts.multipath_o_in_deregistration)
    end
    if flags:bitfield(2, 6) ~= 0 then
        reserved:add_proto_expert_info(experts.reserved_bits)
    end
    message.bids[#message.bids + 1] = number(bid)
    branch:append_text(string.format(": BID %d, If-Label %d, %s%s%s", bid:uint(), label:uint(),
        ACCESS_TECHNOLOGIES[tvb(each.data, 1):uint()] or "unassigned access technology",
        b and ", B" or "", o and ", O" or ""))
end

-- ---------------------------------------------------------------- traffic selectors

local function is_behind(start, last)
    for at = 1, #start do
        if start[at] ~= last[at] then
            return start[at] > last[at]
        end
    end
    return false
end

-- One pair of fields; returns the offset behind it, or nothing if the octets do not reach that far.
local function dissect_pair(tvb, at, behind, row, has_start, has_end, branch, said)
    local name, title, kind, word = row[1], row[2], row[3], row[4]
    local start, last, item
    if has_start then
        if at + kind.octets > behind then
            return nil
        end
        start = tvb(at, kind.octets)
        item = branch:add(fields["ts_" .. name .. "_start"], start)
        at = at + kind.octets
    end
    if has_end and not has_start then
        branch:add_proto_expert_info(
            experts.ts_end_without_start, "End " .. title .. " without its start (RFC 6088 3)")
    end
    if has_end then
        if at + kind.octets > behind then
            return nil
        end
        last = tvb(at, kind.octets)
        item = branch:add(fields["ts_" .. name .. "_end"], last)
        at = at + kind.octets
    end
    if start and last and is_behind(kind.compared(start), kind.compared(last)) then
        item:add_proto_expert_info(experts.ts_range_reversed)
    end
    if start then
        local text = kind.text(start)
        if last and kind.text(last) ~= text then
            text = text .. "-" .. kind.text(last)
        end
        said[#said + 1] = word .. " " .. text
    end
    return at
end

-- Adds the selector and returns it in words.
local function dissect_selector(tvb, at, behind, format, extension)
    local octets = behind - at
    local branch = octets > 0 and extension:add(fields.ts, tvb(at, octets)) or extension
    if octets < 4 then
        branch:add_proto_expert_info(experts.ts_length, "The selector has no flag word (RFC 6088 3)")
        return "no selector"
    end
    local rows, flags = SELECTORS[format], tvb(at, 4)
    local flags_item = branch:add(fields.ts_flags, flags)
    local letters, wanted = "", 4
    for bit = 0, 2 * #rows - 1 do
        if flags:bitfield(bit, 1) == 1 then
            letters = letters .. " " .. LETTERS:sub(bit + 1, bit + 1)
            wanted = wanted + rows[math.floor(bit / 2) + 1][3].octets
        end
    end
    flags_item:append_text(letters == "" and " (none)" or " (" .. letters:sub(2) .. ")")
    if flags:bitfield(2 * #rows, 32 - 2 * #rows) ~= 0 then
        flags_item:add_proto_expert_info(experts.reserved_bits)
    end
    if octets ~= wanted then
        branch:add_proto_expert_info(experts.ts_length, string.format(
            "The selector has %d octets, by its flags it should have %d (RFC 6088 3)", octets, wanted))
    end
    local said = {}
    at = at + 4
    for index, row in ipairs(rows) do
        local has_start = flags:bitfield(2 * index - 2, 1) == 1
        local has_end = flags:bitfield(2 * index - 1, 1) == 1
        at = dissect_pair(tvb, at, behind, row, has_start, has_end, branch, said)
        if not at then
            break
        end
    end
    if at and at < behind then
        branch:add(fields.data, tvb(at, behind - at))
    end
    local text = #said > 0 and table.concat(said, ", ")
        or "any IPv" .. (format == 1 and "4" or "6") .. " packet"
    branch:append_text(": " .. text)
    return text
end

-- ---------------------------------------------------------------- Flow-Binding

local function dissect_flow_binding(tvb, each, branch)
    local at, behind = each.data, each.behind
    if behind - at < 2 then
        if behind > at then
            branch:add(fields.action, tvb(at, 1))
        end
        branch:add_proto_expert_info(experts.flow_binding_truncated)
        return
    end
    local action, count = tvb(at, 1):uint(), tvb(at + 1, 1):uint()
    local action_item = branch:add(fields.action, tvb(at, 1))
    local count_item = branch:add(fields.bid_count, tvb(at + 1, 1))
    if not ACTIONS[action] then
        action_item:add_proto_expert_info(experts.flow_binding_action)
    end
    if count < 1 or count > 8 then
        count_item:add_proto_expert_info(experts.flow_binding_bid_count)
    end
    if action == 0 and count ~= 1 then
        count_item:add_proto_expert_info(experts.flow_binding_drop_bids)
    end
    at = at + 2
    local bids = {}
    for _ = 1, math.min(count, behind - at) do
        local bid = tvb(at, 1)
        local item = branch:add(fields.bid, bid)
        if action == 0 then
            item:append_text(" (ignored)")
        elseif bid:uint() == 0 or bid:uint() == 255 then
            item:add_proto_expert_info(experts.flow_binding_bid)
        end
        bids[#bids + 1] = number(bid)
        at = at + 1
    end
    local text = ": " .. (ACTIONS[action] or "Action " .. action)
    if action ~= 0 and #bids > 0 then
        text = text .. " to BID " .. table.concat(bids, ", else ")
    end
    branch:append_text(text)
    if at >= behind then
        branch:add_proto_expert_info(experts.flow_binding_truncated)
        return
    end
    local format = tvb(at, 1):uint()
    local format_item = branch:add(fields.ts_format, tvb(at, 1))
    at = at + 1
    if not SELECTORS[format] then
        format_item:add_proto_expert_info(experts.flow_binding_ts_format)
        if at < behind then
            branch:add(fields.data, tvb(at, behind - at))
        end
        return
    end
    branch:append_text(": " .. dissect_selector(tvb, at, behind, format, branch))
end

-- ---------------------------------------------------------------- the message

local function dissect_extension(tvb, each, message, root)
    local subtype = tvb(each.first + 1, 1):uint()
    local whole = tvb(each.first, each.behind - each.first)
    local field = subtype == 1 and fields.multipath or subtype == 2 and fields.flow_binding
        or fields.other
    local branch = root:add(field, whole)
    branch:add(fields.type, tvb(each.first, 1))
    local subtype_item = branch:add(fields.subtype, tvb(each.first + 1, 1))
    branch:add(fields.length, tvb(each.first + 2, 2))
    if each.unprotected then
        branch:add_proto_expert_info(experts.behind_authentication)
    end
    if subtype == 1 then
        dissect_multipath(tvb, each, message, branch)
    elseif subtype == 2 then
        message.flow_bindings = message.flow_bindings + 1
        dissect_flow_binding(tvb, each, branch)
    else
        subtype_item:add_proto_expert_info(experts.unknown_subtype)
        if each.behind > each.data then
            branch:add(fields.data, tvb(each.data, each.behind - each.data))
        end
    end
end

-- The extensions of type 154, each marked if no Mobile-Home Authentication Extension covers it, and
-- the number of those with subtype 1.
local function of_rfc_7629(tvb, found)
    local ours, multipaths, authenticated = {}, 0, false
    for _, each in ipairs(found) do
        if each.type == MULTIPATH_TYPE then
            each.unprotected = authenticated
            ours[#ours + 1] = each
            multipaths = multipaths + (tvb(each.first + 1, 1):uint() == 1 and 1 or 0)
        end
        authenticated = authenticated or each.type == MOBILE_HOME_AUTHENTICATION
    end
    return ours, multipaths
end

local function without_type_154(tvb, fixed, found)
    local copy = tvb(0, fixed):bytes()
    for _, each in ipairs(found) do
        if each.type ~= MULTIPATH_TYPE then
            copy:append(tvb(each.first, each.behind - each.first):bytes())
        end
    end
    return copy:tvb("Mobile IP without type 154")
end

-- What the dissector of Mobile IP gets to see.
--
-- Of a packet of which the capture has only the beginning it is always a copy. A dissector in C that
-- runs out of captured octets jumps to its frame, over all of Lua; Lua does not notice that, and
-- after some 200 such packets it says "C stack overflow" for the rest of the capture.
local function for_mobile_ip(tvb, fixed, found, ours, reason)
    if tvb:len() < tvb:reported_len() then
        if fixed and tvb:len() >= fixed then
            return without_type_154(tvb, fixed, found)
        end
        return tvb(0, tvb:len()):bytes():tvb("Mobile IP as far as captured")
    end
    -- Of a message that cannot be read to its end a copy would hide what is wrong with it.
    if flowbind.prefs.cut and #ours > 0 and not reason then
        return without_type_154(tvb, fixed, found)
    end
    return tvb
end

local mobile_ip = Dissector.get("mip")

function flowbind.dissector(tvb, pinfo, tree)
    if tvb:len() == 0 then
        return 0
    end
    local kind = tvb(0, 1):uint()
    local fixed = FIXED_OCTETS[kind]
    local found, ours, multipaths, stopped_at, reason = {}, {}, 0, nil, nil
    if fixed and tvb:len() >= fixed then
        found, stopped_at, reason = walk(tvb, fixed)
        ours, multipaths = of_rfc_7629(tvb, found)
    end
    -- The call raises an error in Lua for what is already shown as a malformed packet.
    pcall(Dissector.call, mobile_ip, for_mobile_ip(tvb, fixed, found, ours, reason), pinfo, tree)
    if #ours == 0 and not reason then
        return tvb:len()
    end

    local root = tree:add(flowbind, tvb(fixed, tvb:len() - fixed))
    local message = {
        type = kind,
        multipaths = multipaths,
        bids = {},
        flow_bindings = 0,
        deregisters = kind == REGISTRATION_REQUEST and tvb(2, 2):uint() == 0,
    }
    for _, each in ipairs(ours) do
        dissect_extension(tvb, each, message, root)
    end
    if reason then
        local rest = root:add(fields.data, tvb(stopped_at, tvb:len() - stopped_at))
        if reason == "truncated" and tvb:len() < tvb:reported_len() then
            reason = "cut_short"
        end
        rest:add_proto_expert_info(experts[reason])
    end
    if #message.bids + message.flow_bindings > 0 then
        local said = {}
        if #message.bids > 0 then
            said[1] = "Multipath BID " .. table.concat(message.bids, ", ")
        end
        if message.flow_bindings > 0 then
            said[#said + 1] = message.flow_bindings .. " Flow-Binding"
        end
        pinfo.cols.info:append(" [" .. table.concat(said, ", ") .. "]")
    end
    return tvb:len()
end

DissectorTable.get("udp.port"):add(MOBILE_IP_PORT, flowbind)
