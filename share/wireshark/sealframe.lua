-- A dissector for Wireshark and tshark, from version 4.0 on: sealframe's frames, in the clear or decrypted.
--
-- Copy it into the folder "Personal Lua Plugins" of Help > About Wireshark > Folders, or give it to
-- tshark: tshark -X lua_script:sealframe.lua -o sealframe.ports:1234 -r capture.pcap
--
-- Section numbers are those of docs/PROTOCOL.md. A frame is
--
--     +---+--------------+-----------------------------+
--     | c |  length: n   |  message of n bytes         |   c = 0
--     +---+--------------+--------+--------------------+
--     | c |  length: n   | opcode |  body of n - 1     |   c = 1: a control frame
--     +---+--------------+--------+--------------------+
--      1 bit   31 bits, the head is a 32-bit little-endian number
--
-- Behind the HANDSHAKE frames of a sealed connection, what looks like a message is a record. Its
-- contents are decrypted by "sealframe decrypt -w", which writes a file of single frames that
-- Wireshark gives to this dissector by its name, whatever the port.

local sealframe = Proto("sealframe", "sealframe")

local MAGIC = "sealfram"
local CONTROL_BIT = 2147483648
local HEAD = 4
local MAX_CONTROL = 65536
local MIN_RECORD, MAX_RECORD = 17, 65535

local OPCODES = {
    [0x41] = "HANDSHAKE", [0x42] = "HELLO", [0x43] = "WELCOME", [0x44] = "CLOSE",
    [0x85] = "GOAWAY", [0x86] = "UNSUPPORTED", [0x07] = "PING", [0x88] = "PONG",
    [0x89] = "ACK", [0x4A] = "CREDIT", [0x8B] = "PAD", [0x21] = "REQUEST",
    [0xA2] = "REPLY", [0xA3] = "FAILURE", [0xA4] = "CANCEL", [0x25] = "STREAM_OPEN",
    [0xA6] = "STREAM_DATA", [0xA7] = "STREAM_CREDIT", [0xA8] = "STREAM_END",
    [0xA9] = "STREAM_RESET",
}
local PATTERNS = {
    [1] = "NNPSK0", [2] = "XK", [3] = "XX", [4] = "NNHFS_PSK0", [5] = "XKHFS", [6] = "XXHFS",
}
local CLOSE_CODES = {
    [0] = "NORMAL", "GOING_AWAY", "PROTOCOL", "TOO_LARGE", "VERSION", "REFUSED", "BUSY", "PLAIN",
    "HANDLER", "TIMEOUT", "SLOW", "KICKED", "UNAUTHORIZED", "MALFORMED", "SESSION_LOST",
    "SUPERSEDED", "SEALED", "NO_MESSAGES",
}
local STREAM_KINDS = { [0] = "APPLICATION", "REQUEST", "REPLY", "FILE" }
local RESET_CODES = { [0] = "CANCELLED", "UNSUPPORTED", "BUSY", "FAILED" }
local FAILURE_CODES = { [0] = "RAISED", "UNSUPPORTED", "CANCELLED", "GOING_AWAY", "TOO_LARGE" }
local TLVS = {
    "MAX_FRAME", "FEATURES", "WINDOW", "SESSION", "SOFTWARE", "PADDING", "CLIENT_ID",
    "FRAMES_RECEIVED", "INVITATION", "MAX_STREAMS", "MAX_REQUESTS", "RETRY_AFTER",
    "MESSAGES_DISCARDED", "WRITERS",
}

local f = sealframe.fields
local function field(name, kind, title, ...)
    f[name] = ProtoField[kind]("sealframe." .. name:gsub("__", "."), title, ...)
    return f[name]
end
local F = {
    control = field("control", "bool", "Control frame", 32, nil, CONTROL_BIT),
    length = field("length", "uint32", "Length", base.DEC, nil, CONTROL_BIT - 1),
    opcode = field("opcode", "uint8", "Opcode", base.HEX, OPCODES),
    message = field("message", "bytes", "Message"),
    record = field("record", "bytes", "Record"),
    body = field("body", "bytes", "Body"),
    surplus = field("surplus", "bytes", "Surplus"),
    magic = field("magic", "string", "Magic"),
    version = field("version", "uint8", "Version"),
    pattern = field("pattern", "uint8", "Pattern", base.DEC, PATTERNS),
    noise = field("noise", "bytes", "Noise message"),
    code = field("code", "uint16", "Code", base.DEC, CLOSE_CODES),
    reason_length = field("reason_length", "uint8", "Length of the reason"),
    reason = field("reason", "string", "Reason", base.UNICODE),
    increment = field("increment", "uint32", "Increment"),
    number = field("number", "uint64", "Number"),
    stream = field("stream", "uint64", "Stream"),
    kind = field("kind", "uint8", "Kind", base.DEC, STREAM_KINDS),
    window = field("window", "uint32", "Window"),
    metadata = field("metadata", "bytes", "Metadata"),
    data = field("data", "bytes", "Data"),
    reset_code = field("reset_code", "uint16", "Code", base.DEC, RESET_CODES),
    request = field("request", "uint64", "Request"),
    payload = field("payload", "bytes", "Payload"),
    failure_code = field("failure_code", "uint8", "Code", base.DEC, FAILURE_CODES),
    error_type_length = field("error_type_length", "uint8", "Length of the type"),
    error_type = field("error_type", "string", "Type", base.UNICODE),
    error_text = field("error_text", "string", "Text", base.UNICODE),
    of = field("of", "uint8", "Opcode that was not understood", base.HEX, OPCODES),
    tlv_type = field("tlv__type", "uint16", "Type", base.DEC, TLVS),
    tlv_length = field("tlv__length", "uint16", "Length"),
    tlv_value = field("tlv__value", "bytes", "Value"),
    tlv_text = field("tlv__text", "string", "Value", base.UNICODE),
    tlv_number = field("tlv__number", "uint32", "Value"),
    tlv_long = field("tlv__long", "uint64", "Value"),
    session_token = field("session__token", "bytes", "Token"),
    session_start = field("session__start", "uint32", "Start"),
    session_link = field("session__link", "uint32", "Link"),
    session_numbering = field("session__numbering", "uint64", "Numbering"),
    session_received = field("session__received", "uint64", "Frames received"),
    session_acknowledged = field("session__acknowledged", "uint64", "Of these, acknowledged"),
    session_credit = field("session__credit", "uint64", "Credit"),
    session_taken = field("session__taken", "uint64", "Messages taken"),
    session_keep = field("session__keep", "uint32", "Seconds that it is kept"),
    session_ack_by = field("session__ack_by", "uint32", "Acknowledge by"),
    session_flags = field("session__flags", "uint32", "Flags", base.HEX),
    session_before = field("session__before", "uint32", "Before"),
}

local X = {
    malformed = ProtoExpert.new("sealframe.malformed", "Malformed", expert.group.MALFORMED,
        expert.severity.ERROR),
    protocol = ProtoExpert.new("sealframe.protocol", "Against the protocol", expert.group.PROTOCOL,
        expert.severity.ERROR),
    unknown = ProtoExpert.new("sealframe.unknown", "Unknown opcode", expert.group.UNDECODED,
        expert.severity.NOTE),
    closing = ProtoExpert.new("sealframe.closing", "Closes with an error",
        expert.group.RESPONSE_CODE, expert.severity.WARN),
    cut = ProtoExpert.new("sealframe.cut", "Cut by the capture", expert.group.UNDECODED,
        expert.severity.NOTE),
    large = ProtoExpert.new("sealframe.large", "Not put together", expert.group.REASSEMBLE,
        expert.severity.WARN),
}
sealframe.experts = { X.malformed, X.protocol, X.unknown, X.closing, X.cut, X.large }

sealframe.prefs.ports = Pref.range("TCP ports", "", "Ports of servers, such as 1234,4000-4010", 65535)
sealframe.prefs.heuristic = Pref.bool("Look for the beginning of connections on any port", false,
    "Takes what begins with HELLO or HANDSHAKE. Connections of packets alone need their port.")
sealframe.prefs.largest = Pref.uint("Largest message that is put together, in bytes", 16777216,
    "A larger one is shown segment by segment.")

-- The streams of TCP in which a HANDSHAKE was seen, by their numbers in Wireshark.
local sealed = {}
local tcp_stream = Field.new("tcp.stream")

function sealframe.init()
    sealed = {}
end

-- A part of a frame, taken from the front. What is not there is an error, a text that frame_of catches.

local Part = {}
Part.__index = Part

local function part_of(range)
    return setmetatable({ range = range, at = 0, size = range and range:len() or 0 }, Part)
end

function Part:rest()
    return self.size - self.at
end

function Part:take(size)
    if size > self:rest() then
        error({ text = "it is cut short: " .. size .. " bytes, and " .. self:rest() .. " are there" })
    end
    local taken = size > 0 and self.range:range(self.at, size) or nil
    self.at = self.at + size
    return taken
end

-- Add a field of a fixed size; return its range.
function Part:add(tree, which, size)
    local range = self:take(size)
    if range then
        tree:add_le(which, range)
    end
    return range
end

function Part:add_rest(tree, which)
    return self:add(tree, which, self:rest())
end

-- Fields of HELLO, WELCOME, CLOSE and GOAWAY (sections 4, 5 and 12)

local NUMBERS = { [1] = true, [3] = true, [10] = true, [11] = true, [12] = true }
local LONG_NUMBERS = { [8] = true, [13] = true }
local TEXTS = { [5] = true, [7] = true }

local SESSION_OF_HELLO = {
    { "session_token", 16 }, { "session_start", 4 }, { "session_link", 4 },
    { "session_numbering", 8 }, { "session_received", 8 }, { "session_acknowledged", 8 },
    { "session_credit", 8 }, { "session_ack_by", 4 }, { "session_flags", 4 },
}
local SESSION_OF_WELCOME = {
    { "session_numbering", 8 }, { "session_received", 8 }, { "session_acknowledged", 8 },
    { "session_credit", 8 }, { "session_taken", 8 }, { "session_keep", 4 },
    { "session_ack_by", 4 }, { "session_before", 4 },
}

local function add_tlvs(body, tree)
    local before = -1
    while body:rest() > 0 do
        local head = body:take(4)
        local kind, size = head(0, 2):le_uint(), head(2, 2):le_uint()
        local value = body:take(size)
        local name = TLVS[kind] or string.format("type 0x%04x", kind)
        local item = tree:add(sealframe, body.range(body.at - size - 4, size + 4), "Field: " .. name)
        item:add_le(F.tlv_type, head(0, 2))
        item:add_le(F.tlv_length, head(2, 2))
        if kind <= before then
            item:add_proto_expert_info(X.malformed, "Fields stand in ascending order, none twice")
        end
        before = kind
        if value and NUMBERS[kind] and size == 4 then
            item:add_le(F.tlv_number, value)
            item:append_text(", " .. value:le_uint())
        elseif value and LONG_NUMBERS[kind] and size == 8 then
            item:add_le(F.tlv_long, value)
            item:append_text(", " .. tostring(value:le_uint64()))
        elseif value and TEXTS[kind] then
            item:add_packet_field(F.tlv_text, value, ENC_UTF_8)
            -- Wireshark makes values visible, and leaves labels as they are.
            item:append_text(", " .. value:string(ENC_UTF_8):gsub("[%c\127]", "."):gsub("\xc2[\x80-\x9f]", "."))
        elseif value and kind == 4 and (size == 64 or size == 52) then
            local session = part_of(value)
            for _, one in ipairs(size == 64 and SESSION_OF_HELLO or SESSION_OF_WELCOME) do
                session:add(item, F[one[1]], one[2])
            end
        else
            if value then
                item:add(F.tlv_value, value)
            end
            if NUMBERS[kind] or LONG_NUMBERS[kind] or kind == 4 then
                item:add_proto_expert_info(X.malformed, name .. " of " .. size .. " bytes")
            elseif not TLVS[kind] and kind >= 0x8000 then
                item:add_proto_expert_info(X.protocol, "A critical field that is not known")
            end
        end
    end
end

-- Bodies by opcode: each adds its fields, and returns what the info column says more.

local function add_magic(body, tree)
    local magic = body:take(8)
    tree:add(F.magic, magic)
    if magic:string() ~= MAGIC then
        error({ text = "the magic is missing" })
    end
    body:add(tree, F.version, 1)
end

local function hello(body, tree)
    add_magic(body, tree)
    add_tlvs(body, tree)
end

local function close(body, tree)
    local code = body:add(tree, F.code, 2):le_uint()
    local size = body:add(tree, F.reason_length, 1):uint()
    local reason = body:take(size)
    if reason then
        tree:add_packet_field(F.reason, reason, ENC_UTF_8)
    end
    add_tlvs(body, tree)
    local name = CLOSE_CODES[code] or ("code " .. code)
    if code ~= 0 then
        tree:add_proto_expert_info(X.closing, "Closes with " .. name)
    end
    return name
end

local function numbered(which)
    return function(body, tree)
        return tostring(body:add(tree, which, 8):le_uint64())
    end
end

local function numbered_with(which, rest)
    return function(body, tree)
        local number = tostring(body:add(tree, which, 8):le_uint64())
        local size = body:rest()
        body:add_rest(tree, rest)
        return number .. ", " .. size .. " bytes"
    end
end

local BODIES = {
    HANDSHAKE = function(body, tree)
        local more
        if body:rest() >= 10 and body.range(0, 8):string() == MAGIC then
            add_magic(body, tree)
            local pattern = body:add(tree, F.pattern, 1):uint()
            more = PATTERNS[pattern] or ("pattern " .. pattern)
        end
        body:add_rest(tree, F.noise)
        return more
    end,
    HELLO = hello,
    WELCOME = hello,
    CLOSE = close,
    GOAWAY = close,
    UNSUPPORTED = function(body, tree)
        local opcode = body:add(tree, F.of, 1):uint()
        body:add_rest(tree, F.body)
        return OPCODES[opcode] or string.format("0x%02x", opcode)
    end,
    PING = function(body, tree)
        if body:rest() > 8 then
            tree:add_proto_expert_info(X.malformed, "A PING of over 8 bytes")
        end
        body:add_rest(tree, F.body)
    end,
    PONG = function(body, tree)
        body:add_rest(tree, F.body)
    end,
    PAD = function(body, tree)
        body:add_rest(tree, F.body)
    end,
    ACK = numbered(F.number),
    CREDIT = function(body, tree)
        return tostring(body:add(tree, F.increment, 4):le_uint())
    end,
    REQUEST = numbered_with(F.request, F.payload),
    REPLY = numbered_with(F.request, F.payload),
    FAILURE = function(body, tree)
        local number = tostring(body:add(tree, F.request, 8):le_uint64())
        local code = body:add(tree, F.failure_code, 1):uint()
        local size = body:add(tree, F.error_type_length, 1):uint()
        local kind = body:take(size)
        if kind then
            tree:add_packet_field(F.error_type, kind, ENC_UTF_8)
        end
        local text = body:take(body:rest())
        if text then
            tree:add_packet_field(F.error_text, text, ENC_UTF_8)
        end
        return number .. ", " .. (FAILURE_CODES[code] or ("code " .. code))
    end,
    CANCEL = numbered(F.request),
    STREAM_OPEN = function(body, tree)
        local number = tostring(body:add(tree, F.stream, 8):le_uint64())
        local kind = body:add(tree, F.kind, 1):uint()
        body:add(tree, F.window, 4)
        body:add_rest(tree, F.metadata)
        return number .. ", " .. (STREAM_KINDS[kind] or ("kind " .. kind))
    end,
    STREAM_DATA = numbered_with(F.stream, F.data),
    STREAM_CREDIT = function(body, tree)
        local number = tostring(body:add(tree, F.stream, 8):le_uint64())
        return number .. ", " .. body:add(tree, F.increment, 4):le_uint()
    end,
    STREAM_END = numbered(F.stream),
    STREAM_RESET = function(body, tree)
        local number = tostring(body:add(tree, F.stream, 8):le_uint64())
        local code = body:add(tree, F.reset_code, 2):le_uint()
        local reason = body:take(body:rest())
        if reason then
            tree:add_packet_field(F.reason, reason, ENC_UTF_8)
        end
        return number .. ", " .. (RESET_CODES[code] or ("code " .. code))
    end,
}

local function add_control(item, opcode, body, whole)
    local name = OPCODES[opcode]
    if not name then
        name = string.format("opcode 0x%02x", opcode)
        item:add_proto_expert_info(X.unknown, "The opcode is not known")
        body:add_rest(item, F.body)
        return name
    end
    local done, more = pcall(BODIES[name], body, item)
    if not done then
        if type(more) ~= "table" then
            error(more, 0)
        end
        if whole then
            item:add_proto_expert_info(X.malformed, name .. ": " .. more.text)
        end
        return name .. (whole and ", malformed" or "")
    end
    if body:rest() > 0 then
        body:add_rest(item, F.surplus)
        item:add_proto_expert_info(X.malformed, name .. " has more bytes than it may")
    end
    return more and (name .. " " .. more) or name
end

-- Add one frame, all of which there is to have is in the range; return what the info column says.
local function add_frame(range, size, is_control, is_record, tree)
    local item = tree:add(sealframe, range)
    item:add_le(F.control, range(0, HEAD))
    item:add_le(F.length, range(0, HEAD))
    local there = range:len() - HEAD
    local whole = there == size
    if not whole then
        item:add_proto_expert_info(X.cut, there .. " of its " .. size .. " bytes were captured")
    end
    local body = there > 0 and range(HEAD) or nil
    local name
    if is_control and body then
        local opcode = body(0, 1)
        item:add(F.opcode, opcode)
        name = add_control(item, opcode:uint(), part_of(there > 1 and body(1) or nil), whole)
    elseif is_control then
        name = "control frame of " .. size .. " bytes"
    elseif is_record then
        name = "record of " .. size .. " bytes"
        if body then
            item:add(F.record, body)
        end
        if size < MIN_RECORD or size > MAX_RECORD then
            item:add_proto_expert_info(X.protocol, "A record has 17 to 65,535 bytes")
        end
    else
        name = "message of " .. size .. " bytes"
        if body then
            item:add(F.message, body)
        end
    end
    item:set_text("sealframe, " .. name)
    return name
end

local function give_up(tvb, offset, tree, which, text)
    local rest = tvb(offset)
    local item = tree:add(sealframe, rest, "sealframe, not a frame")
    item:add(F.body, rest)
    item:add_proto_expert_info(which, text)
    return text
end

-- Where a segment ends one frame and begins others, the dissector is called several times for a packet.
local last = { number = 0, text = "" }

local function show(pinfo, text)
    local before = last.text
    if last.number ~= pinfo.number or tostring(pinfo.cols.info):sub(1, #before) ~= before then
        before = ""
    end
    pinfo.cols.info:set(before == "" and text or "; " .. text)
    pinfo.cols.info:fence()
    last = { number = pinfo.number, text = tostring(pinfo.cols.info) }
end

function sealframe.dissector(tvb, pinfo, tree)
    local offset, all = 0, tvb:len()
    -- What the capture cut cannot be waited for.
    local may_wait = pinfo.can_desegment > 0 and tvb:reported_len() == all
    local stream = tcp_stream()
    local names = {}
    pinfo.cols.protocol = "sealframe"
    while offset < all do
        local rest = all - offset
        if rest < HEAD then
            if may_wait then
                pinfo.desegment_offset = offset
                pinfo.desegment_len = DESEGMENT_ONE_MORE_SEGMENT
                break
            end
            names[#names + 1] = give_up(tvb, offset, tree, X.cut, "a part of a head")
            break
        end
        local head = tvb(offset, HEAD):le_uint()
        local is_control = head >= CONTROL_BIT
        local size = is_control and head - CONTROL_BIT or head
        if is_control and (size < 1 or size > MAX_CONTROL) then
            names[#names + 1] = give_up(tvb, offset, tree, X.malformed,
                "a control frame of " .. size .. " bytes")
            break
        end
        if rest < HEAD + size and may_wait then
            if size > sealframe.prefs.largest then
                names[#names + 1] = give_up(tvb, offset, tree, X.large,
                    "a message of " .. size .. " bytes, or no frame")
                break
            end
            pinfo.desegment_offset = offset
            pinfo.desegment_len = HEAD + size - rest
            break
        end
        if is_control and stream and rest > HEAD and tvb(offset + HEAD, 1):uint() == 0x41 then
            sealed[stream.value] = true
        end
        local is_record = not is_control and stream ~= nil and sealed[stream.value] == true
        local there = math.min(rest, HEAD + size)
        names[#names + 1] = add_frame(tvb(offset, there), size, is_control, is_record, tree)
        offset = offset + there
    end
    if #names > 0 then
        show(pinfo, table.concat(names, "; "))
    end
    return all
end

-- Where it is used: ports of the preferences, "Decode As", and what begins as it does, if asked for.

local tcp_ports = DissectorTable.get("tcp.port")
local registered = ""
tcp_ports:add_for_decode_as(sealframe)

function sealframe.prefs_changed()
    if registered ~= sealframe.prefs.ports then
        if registered ~= "" then
            tcp_ports:remove(registered, sealframe)
        end
        registered = sealframe.prefs.ports
        if registered ~= "" then
            tcp_ports:add(registered, sealframe)
        end
    end
end

sealframe:register_heuristic("tcp", function(tvb, pinfo, tree)
    if not sealframe.prefs.heuristic or tvb:len() < HEAD + 1 + #MAGIC then
        return false
    end
    local opcode = tvb(HEAD, 1):uint()
    if tvb(0, HEAD):le_uint() < CONTROL_BIT or (opcode ~= 0x41 and opcode ~= 0x42) then
        return false
    end
    if tvb(HEAD + 1, #MAGIC):string() ~= MAGIC then
        return false
    end
    pinfo.conversation = sealframe
    sealframe.dissector(tvb, pinfo, tree)
    return true
end)
