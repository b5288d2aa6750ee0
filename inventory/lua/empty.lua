#!lua flags=allow-oom
-- Forgets what the gate was told, for a gate that is ahead of PostgreSQL (a restored backup). The line is
-- kept: what was accepted is still to be decided. What is in flight is counted again from it.
--
-- KEYS  gate stock flight bought held answers line bell recent
-- ARGV  the version that PostgreSQL has: a gate that is not ahead of it is left alone
-- gives 1 if it was emptied

if (tonumber(redis.call('HGET', KEYS[1], 'version')) or 0) <= tonumber(ARGV[1]) then
    return 0
end
redis.call('HSET', KEYS[1], 'version', '0', 'warm', '0')
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[9])
for _, entry in ipairs(redis.call('XRANGE', KEYS[7], '-', '+')) do
    local id, waiting = entry[1], {}
    for i = 1, #entry[2], 2 do
        waiting[entry[2][i]] = entry[2][i + 1]
    end
    redis.call('HSET', KEYS[6], waiting.purchase, table.concat(
        {'queued', '', waiting.shopper, waiting.sku, waiting.quantity, id}, '|'))
    redis.call('HINCRBY', KEYS[3], waiting.sku, waiting.quantity)
    redis.call('HINCRBY', KEYS[5], waiting.shopper, waiting.quantity)
    local older = redis.call('HGET', KEYS[9], waiting.shopper) or ''
    redis.call('HSET', KEYS[9], waiting.shopper, string.sub(waiting.purchase .. older, 1, 160))
end
return 1
