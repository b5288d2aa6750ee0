-- The shopper's latest purchases, newest first, in one round trip: their pages show them.
--
-- KEYS  answers recent
-- ARGV  shopper
-- gives {purchase, answer, purchase, answer, ...}

local own = {}
for purchase in string.gmatch(redis.call('HGET', KEYS[2], ARGV[1]) or '', string.rep('%x', 32)) do
    local answer = redis.call('HGET', KEYS[1], purchase)
    if answer then
        own[#own + 1] = purchase
        own[#own + 1] = answer
    end
end
return own
