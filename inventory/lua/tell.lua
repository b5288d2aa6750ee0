#!lua flags=allow-oom
-- Tells the gate what PostgreSQL has committed: the absolute rules and stock, and the orders changed
-- since `from`. May write when memory is full: it is what makes room.
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

local function lower(key, field, units)
    if redis.call('HINCRBY', key, field, -units) <= 0 then
        redis.call('HDEL', key, field)
    end
end

-- Field by field a rebuild of 100,000 answers would take twice as long.
local function writer(key)
    local fields = {}
    local function flush()
        if #fields > 0 then
            redis.call('HSET', key, unpack(fields))
            fields = {}
        end
    end
    local function write(field, value)
        fields[#fields + 1] = field
        fields[#fields + 1] = value
        if #fields >= 1000 then
            flush()
        end
    end
    return write, flush
end

local write_answer, flush_answers = writer(KEYS[6])
local recent = {}
for _, answer in ipairs(told.answers) do
    local purchase, status, reason, shopper, sku, quantity = unpack(answer)
    local known = redis.call('HGET', KEYS[6], purchase)
    if known and string.sub(known, 1, 7) == 'queued|' then
        local of_shopper, of_sku, units, entry =
            string.match(known, '^queued||([^|]*)|([^|]*)|([^|]*)|([^|]*)$')
        lower(KEYS[3], of_sku, tonumber(units))
        lower(KEYS[5], of_shopper, tonumber(units))
        redis.call('XDEL', KEYS[7], entry)
    elseif not known then
        local older = recent[shopper] or redis.call('HGET', KEYS[9], shopper) or ''
        recent[shopper] = string.sub(purchase .. older, 1, 160)
    end
    -- The entry of the line says when it was accepted.
    local entry = known and string.match(known, '^[^|]*|[^|]*|[^|]*|[^|]*|[^|]*|([^|]*)$') or ''
    write_answer(purchase, table.concat({status, reason, shopper, sku, quantity, entry}, '|'))
end
flush_answers()

local write_recent, flush_recent = writer(KEYS[9])
for shopper, purchases in pairs(recent) do
    write_recent(shopper, purchases)
end
flush_recent()

local write_bought, flush_bought = writer(KEYS[4])
for shopper, units in pairs(told.bought) do
    if units > 0 then
        write_bought(shopper, units)
    else
        redis.call('HDEL', KEYS[4], shopper)
    end
end
flush_bought()

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
