-- Read the shopper's latest purchases, newest first, in one round trip: the shopper's pages show them.
--
-- KEYS  gate answers recent
-- ARGV  shopper
-- gives {purchase, answer, purchase, answer, ...}, or nil if the gate is not ready or gone

if redis.call('HGET', KEYS[1], 'ready') ~= '1' then
    return nil
end
-- 160 = five ids: see `admit.lua`.
local recent = string.sub(redis.call('HGET', KEYS[3], ARGV[1]) or '', 1, 160)
local own = {}
for purchase in string.gmatch(recent, string.rep('%x', 32)) do
    local answer = redis.call('HGET', KEYS[2], purchase)
    if answer then
        own[#own + 1] = purchase
        own[#own + 1] = answer
    end
end
return own
