#!lua flags=allow-oom
-- Tells the gate what PostgreSQL has committed: the absolute rules and stock, or those that have changed
-- since `from`, and the orders changed since then. May write when memory is full: it is what makes room.
--
-- KEYS  gate stock flight bought held answers line bell recent
-- ARGV  one JSON object:
--   from, to   the sale's versions between which the snapshot's orders were changed
--   last       whether this part completes the tale; only then do rules, stock and version move
--   mark       the mark that the teller found on the gate, or false
--   opens      whether the gate is warm after it
--   rules      {status, opens_at, closes_at, limit}: times in ms
--   stock      {sku: units}
--   answers    [[purchase, status, reason, shopper, sku, quantity], ...]
--   bought     {shopper: units confirmed}
-- gives {1 if applied, the version at which the gate stands}
--
-- A purchase leaves the line and what is in flight here and nowhere else, exactly once: when its queued
-- answer becomes final.

local told = cjson.decode(ARGV[1])
local state = redis.call('HMGET', KEYS[1], 'version', 'warm', 'mark')
local stands, cold = tonumber(state[1]) or 0, state[2] ~= '1'
if stands < told.from or stands > told.to or (stands == told.to and not cold) then
    return {0, stands}
end
-- Another mark means that Redis was restarted, wiped or replaced since the tale was begun: what its
-- earlier parts have told may be gone.
if told.mark and told.mark ~= state[3] then
    return {0, stands}
end

-- A thousand at a time: one by one each batch would hold Redis up twice as long, and `unpack` has a limit.
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
for i, answer in ipairs(told.answers) do
    purchases[i] = answer[1]
end
local known = fetch(KEYS[6], purchases)

local answers, entries, recent = {}, {}, {}
local of_flight, of_held = {}, {} -- units that are no longer
for i, answer in ipairs(told.answers) do
    local purchase, status, reason, shopper, sku, quantity = unpack(answer)
    local was, entry = known[i], ''
    if was and string.sub(was, 1, 7) == 'queued|' then
        local buyer, of_sku, units
        buyer, of_sku, units, entry = string.match(was, '^queued||([^|]*)|([^|]*)|([^|]*)|([^|]*)$')
        of_flight[of_sku] = (of_flight[of_sku] or 0) + tonumber(units)
        of_held[buyer] = (of_held[buyer] or 0) + tonumber(units)
        entries[#entries + 1] = entry
    elseif was then
        -- The entry of the line says when it was accepted.
        entry = string.match(was, '^[^|]*|[^|]*|[^|]*|[^|]*|[^|]*|([^|]*)$') or ''
    else
        local older = recent[shopper] or redis.call('HGET', KEYS[9], shopper) or ''
        recent[shopper] = string.sub(purchase .. older, 1, 160)
    end
    put(answers, purchase,
        status .. '|' .. reason .. '|' .. shopper .. '|' .. sku .. '|' .. quantity .. '|' .. entry)
end

-- What is left of a count, and of whom nothing is; or an error, of what no script of ours has written.
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
local flight_left, flight_gone = lowered(KEYS[3], of_flight)
local held_left, held_gone = lowered(KEYS[5], of_held)

write('HSET', KEYS[3], flight_left)
write('HDEL', KEYS[3], flight_gone)
write('HSET', KEYS[5], held_left)
write('HDEL', KEYS[5], held_gone)
write('XDEL', KEYS[7], entries)
write('HSET', KEYS[6], answers)

local latest, bought, none = {}, {}, {}
for shopper, ids in pairs(recent) do
    put(latest, shopper, ids)
end
for shopper, units in pairs(told.bought) do
    if units > 0 then
        put(bought, shopper, units)
    else
        none[#none + 1] = shopper
    end
end
write('HSET', KEYS[9], latest)
write('HSET', KEYS[4], bought)
write('HDEL', KEYS[4], none)

if not told.last then
    return {1, stands}
end

for sku, units in pairs(told.stock) do
    redis.call('HSET', KEYS[2], sku, units)
end
for rule, value in pairs(told.rules) do
    redis.call('HSET', KEYS[1], rule, value)
end
redis.call('HSET', KEYS[1], 'version', told.to)
if told.opens then
    redis.call('HSET', KEYS[1], 'warm', '1')
end
return {1, told.to}
