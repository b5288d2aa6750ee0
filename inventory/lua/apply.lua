#!lua flags=allow-oom
-- Apply one part of a delta that PostgreSQL has committed: rules and stock as absolute values, and the orders
-- that changed since `from`. May write when memory is full, because it is the script that frees memory.
--
-- KEYS  gate stock in_flight bought in_flight_by_shopper answers line bell recent networks
-- ARGV  one JSON object:
--   from, to     the versions of the sale between which these orders changed
--   last         whether this part completes the delta; only then rules, stock and version are set
--   epoch        the epoch that the sender found in the gate, or false
--   makes_ready  whether the gate is ready afterwards
--   rules        {status, opens_at, closes_at, limit, draw, draw_at, standby, per_address, waiting}: times in ms,
--                standby 0 or 1, waiting {sku: waiting orders}
--   stock        {sku: units}
--   answers      [[purchase, status, reason, shopper, sku, quantity], ...]; of a hold also its end in ms, of a
--                waiting order also its place, if it has one
--   bought       {shopper: units owned or waiting}
-- gives {1 if applied, the gate's version}
--
-- Only here does a purchase leave the line and the units in flight, exactly once: when its queued answer
-- becomes final.

local delta = cjson.decode(ARGV[1])
local state = redis.call('HMGET', KEYS[1], 'version', 'ready', 'epoch')
local version, ready = tonumber(state[1]) or 0, state[2] == '1'
if version < delta.from or version > delta.to or (version == delta.to and ready) then
    return {0, version}
end
-- Another epoch means that Redis was restarted, wiped or replaced since the first part: the earlier parts
-- may be lost.
if delta.epoch and delta.epoch ~= state[3] then
    return {0, version}
end

-- A thousand fields per command: one by one, each batch would block Redis twice as long; `unpack` has a limit.
local CHUNK = 1000

local function chunks(items, command)
    for first = 1, #items, CHUNK do
        command(first, unpack(items, first, math.min(first + CHUNK - 1, #items)))
    end
end

local function fetch(key, fields)
    local values = {}
    chunks(fields, function(first, ...)
        for i, value in ipairs(redis.call('HMGET', key, ...)) do
            values[first + i - 1] = value
        end
    end)
    return values
end

local function write(command, key, items)
    chunks(items, function(_, ...) redis.call(command, key, ...) end)
end

local function put(items, field, value)
    items[#items + 1] = field
    items[#items + 1] = value
end

local purchases = {}
for i, answer in ipairs(delta.answers) do
    purchases[i] = answer[1]
end
local known = fetch(KEYS[6], purchases)

local answers, entries, recent = {}, {}, {}
local of_sku_in_flight, of_shopper_in_flight = {}, {} -- units to subtract
for i, answer in ipairs(delta.answers) do
    local purchase, status, reason, shopper, sku, quantity, more = unpack(answer)
    local was, entry = known[i], ''
    if was and string.sub(was, 1, 7) == 'queued|' then
        local buyer, of_sku, units
        buyer, of_sku, units, entry = string.match(was, '^queued||([^|]*)|([^|]*)|([^|]*)|([^|]*)$')
        of_sku_in_flight[of_sku] = (of_sku_in_flight[of_sku] or 0) + tonumber(units)
        of_shopper_in_flight[buyer] = (of_shopper_in_flight[buyer] or 0) + tonumber(units)
        entries[#entries + 1] = entry
    elseif was then
        -- The entry's stream id is the time of acceptance.
        entry = string.match(was, '^[^|]*|[^|]*|[^|]*|[^|]*|[^|]*|([^|]*)') or ''
    else
        local older = recent[shopper] or redis.call('HGET', KEYS[9], shopper) or ''
        recent[shopper] = string.sub(purchase .. older, 1, 160) -- five ids: see `admit.lua`
    end
    local stored = status .. '|' .. reason .. '|' .. shopper .. '|' .. sku .. '|' .. quantity .. '|' .. entry
    if more then
        stored = string.format('%s|%.0f', stored, more)
    end
    put(answers, purchase, stored)
end

-- The counts that remain, and the fields whose count is gone. Fails if a count is corrupt.
local function lowered(key, units)
    local fields, left, gone = {}, {}, {}
    for field in pairs(units) do
        fields[#fields + 1] = field
    end
    for i, count in ipairs(fetch(key, fields)) do
        if count and not (string.match(count, '^-?%d+$') and #count <= 15) then
            error('a count is not an integer')
        end
        local rest = (tonumber(count) or 0) - units[fields[i]]
        if rest > 0 then
            put(left, fields[i], rest)
        else
            gone[#gone + 1] = fields[i]
        end
    end
    return left, gone
end
local in_flight_left, in_flight_gone = lowered(KEYS[3], of_sku_in_flight)
local by_shopper_left, by_shopper_gone = lowered(KEYS[5], of_shopper_in_flight)

write('HSET', KEYS[3], in_flight_left)
write('HDEL', KEYS[3], in_flight_gone)
write('HSET', KEYS[5], by_shopper_left)
write('HDEL', KEYS[5], by_shopper_gone)
write('XDEL', KEYS[7], entries)
write('HSET', KEYS[6], answers)

local latest, bought, none = {}, {}, {}
for shopper, ids in pairs(recent) do
    put(latest, shopper, ids)
end
for shopper, units in pairs(delta.bought) do
    if units > 0 then
        put(bought, shopper, units)
    else
        none[#none + 1] = shopper
    end
end
write('HSET', KEYS[9], latest)
write('HSET', KEYS[4], bought)
write('HDEL', KEYS[4], none)

if not delta.last then
    return {1, version}
end

for sku, units in pairs(delta.stock) do
    redis.call('HSET', KEYS[2], sku, units)
end
for rule, value in pairs(delta.rules) do
    redis.call('HSET', KEYS[1], rule, type(value) == 'table' and cjson.encode(value) or value)
end
redis.call('HSET', KEYS[1], 'version', delta.to)
if delta.makes_ready then
    redis.call('HSET', KEYS[1], 'ready', '1')
end
return {1, delta.to}
