#!lua flags=allow-oom
-- Empty a gate that is ahead of PostgreSQL (a restored backup) or corrupt. The line stays, because accepted
-- entries are still to be decided; units in flight are counted again from it. What networks have taken
-- starts anew.
--
-- KEYS  gate stock in_flight bought in_flight_by_shopper answers line bell recent networks
-- ARGV  PostgreSQL's version: a gate that is not ahead of it is left alone; a new epoch, so that a delta
--       that is being applied in parts does not go on
-- gives 1 if it was emptied

local function is_not(key, kind)
    return redis.call('TYPE', key).ok ~= kind
end

if redis.call('EXISTS', KEYS[1], KEYS[7]) == 0 then
    return 0 -- the sale was finished meanwhile
end
if is_not(KEYS[1], 'hash') then
    redis.call('DEL', KEYS[1])
end
if (tonumber(redis.call('HGET', KEYS[1], 'version')) or 0) <= tonumber(ARGV[1]) then
    return 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'version', '0', 'ready', '0')
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[8], KEYS[9], KEYS[10])
if is_not(KEYS[7], 'stream') or redis.call('XLEN', KEYS[7]) == 0 then
    redis.call('DEL', KEYS[7]) -- even when empty, its last id may refuse every new entry
    return 1
end

-- Only entries that `admit` has written: the same patterns as in `gate/entries.py`.
local function readable(entry)
    for _, name in ipairs({'purchase', 'shopper'}) do
        if not entry[name] or not string.match(entry[name], '^' .. string.rep('[0-9a-f]', 32) .. '$') then
            return false
        end
    end
    local sale = string.match(KEYS[1], '{sale:(%d+)}') -- a purchase's id begins with its sale
    return tonumber(string.sub(entry.purchase, 1, 8), 16) == tonumber(sale)
end

for _, entry in ipairs(redis.call('XRANGE', KEYS[7], '-', '+')) do
    local id, waiting = entry[1], {}
    for i = 1, #entry[2], 2 do
        waiting[entry[2][i]] = entry[2][i + 1]
    end
    -- A repeated entry shares the answer of the first one.
    if readable(waiting) and redis.call('HEXISTS', KEYS[6], waiting.purchase) == 0 then
        local sku, units = waiting.sku or '', waiting.quantity or ''
        if not string.match(sku, '^[%w._-]+$') or #sku > 40 then
            sku = ''
        end
        if not string.match(units, '^%d+$') or #units > 5 then
            units = '0'
        end
        redis.call('HSET', KEYS[6], waiting.purchase, table.concat(
            {'queued', '', waiting.shopper, sku, units, id}, '|'))
        redis.call('HINCRBY', KEYS[3], sku, tonumber(units))
        redis.call('HINCRBY', KEYS[5], waiting.shopper, tonumber(units))
        local older = redis.call('HGET', KEYS[9], waiting.shopper) or ''
        -- 160 = five ids: see `admit.lua`.
        redis.call('HSET', KEYS[9], waiting.shopper, string.sub(waiting.purchase .. older, 1, 160))
    end
end
return 1
