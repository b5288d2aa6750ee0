-- Decide one click: give the known answer to the purchase, refuse it, or put it in the line.
--
-- KEYS  gate stock in_flight bought in_flight_by_shopper answers line bell recent networks rate_of_shopper
--       rate_of_address
-- ARGV  purchase shopper sku quantity per_second_of_shopper per_second_of_address bound shown
--       [network [networks...]]
--       shown: the digest of the variant as the click's form showed it, which settlement compares; 'changed'
--       if the sale shows something else now
--       network: a keyed hash for settlement, only in a sale with a hold; else it is left out, or ''
--       networks: one to three keyed hashes, the narrowest first, only in a sale with a bound per network
-- gives {'not_ready'} {'foreign'} {'known', answer} {'reused', answer} {'product'} {'quantity'} {'busy'}
--       {'corrupt'}: the gate holds data that no script writes
--       {'refused', reason} {'rate_limited', wait in ms} {'queued', 1 if the caller must ring the bell}
--
-- All checks come before the first write: a script that fails keeps its earlier writes. A refusal writes
-- nothing, so it costs no disk: rates count accepted purchases.

local purchase, shopper, sku, quantity = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local gate = redis.call('HMGET', KEYS[1], 'ready', 'status', 'opens_at', 'closes_at', 'limit', 'draw', 'draw_at',
    'standby', 'per_address')
if gate[1] ~= '1' then
    return {'not_ready'}
end

local known = redis.call('HGET', KEYS[6], purchase)
if known then
    local of_shopper, of_sku, units = string.match(known, '^[^|]*|[^|]*|([^|]*)|([^|]*)|([^|]*)')
    if not of_shopper then
        return {'corrupt'}
    end
    if of_shopper ~= shopper then
        return {'foreign'}
    end
    -- An entry that could not be processed has kept neither product nor quantity.
    local poison = string.sub(known, 1, 15) == 'rejected|error|'
    if not poison and (of_sku ~= sku or tonumber(units) ~= quantity) then
        return {'reused', known}
    end
    return {'known', known}
end

local stock = tonumber(redis.call('HGET', KEYS[2], sku))
if not stock then
    return {'product'}
end
if quantity < 1 then
    return {'quantity'}
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
if gate[2] == 'ended' or now >= tonumber(gate[4]) then
    return {'refused', 'closed'}
end
if now < tonumber(gate[3]) then
    return {'refused', 'not_open'}
end
if gate[2] ~= 'live' then
    return {'refused', 'paused'}
end
-- Until its draw a sale takes entries, whatever the stock. The draw begins when its line is empty.
local draws = gate[6] == 'open'
if gate[6] == 'closed' or gate[6] == 'frozen' or (draws and now >= tonumber(gate[7])) then
    return {'refused', 'drawing'}
end
if ARGV[8] == 'changed' then
    return {'refused', 'changed'}
end

-- Generic cell rate algorithm (ATM Forum TM 4.0): the key holds the time at which the allowance is full
-- again. A burst of one second's allowance passes, then one click each 1/rate seconds.
local function allowance(key, per_second)
    if per_second == 0 then
        return nil, 0
    end
    -- A corrupt key must not stop a shopper for longer than the rate would.
    local full = tonumber(redis.pcall('GET', key))
    if not full or not (full > now and full < now + 2000) then
        full = now
    end
    full = full + 1000 / per_second
    return full, full - now - 1000
end
local shopper_full, shopper_wait = allowance(KEYS[11], tonumber(ARGV[5]))
local address_full, address_wait = allowance(KEYS[12], tonumber(ARGV[6]))
local wait = math.max(shopper_wait, address_wait)
if wait > 0.5 then
    return {'rate_limited', math.ceil(wait)}
end

local units = (tonumber(redis.call('HGET', KEYS[4], shopper)) or 0)
    + (tonumber(redis.call('HGET', KEYS[5], shopper)) or 0)
if draws and units > 0 then
    return {'refused', 'entered'}
end
if units + quantity > tonumber(gate[5]) then
    return {'refused', 'limit'}
end
local left = stock - (tonumber(redis.call('HGET', KEYS[3], sku)) or 0)
if left < quantity and not draws and gate[8] ~= '1' then
    return {'refused', left > 0 and 'not_enough' or 'sold_out'}
end
-- Units accepted from the click's networks, this click's included. Each network holds the one before, and
-- may take twice as much (`orders/networks.py`).
local per_network, totals = tonumber(gate[9]) or 0, {}
if per_network > 0 then
    if not ARGV[10] then
        return {'busy'} -- the web process has not read the rule yet
    end
    for i, counted in ipairs(redis.call('HMGET', KEYS[10], unpack(ARGV, 10))) do
        local total = (tonumber(counted) or 0) + quantity
        if total > per_network * 2 ^ (i - 1) then
            return {'refused', 'network'}
        end
        totals[2 * i - 1], totals[2 * i] = ARGV[9 + i], total
    end
end
if redis.call('XLEN', KEYS[7]) >= tonumber(ARGV[7]) then
    return {'busy'}
end

local fields = {'purchase', purchase, 'shopper', shopper, 'sku', sku, 'quantity', quantity, 'shown', ARGV[8] or ''}
if ARGV[9] and ARGV[9] ~= '' then
    fields[11], fields[12] = 'network', ARGV[9]
end
local entry = redis.call('XADD', KEYS[7], '*', unpack(fields))
redis.call('HSET', KEYS[6], purchase,
    table.concat({'queued', '', shopper, sku, quantity, entry}, '|'))
redis.call('HINCRBY', KEYS[3], sku, quantity)
redis.call('HINCRBY', KEYS[5], shopper, quantity)
-- Newest first, for the shopper's next page. 160 = five ids; `_SHOWN` in `storefront/own_purchases.py`.
local recent = purchase .. (redis.call('HGET', KEYS[9], shopper) or '')
redis.call('HSET', KEYS[9], shopper, string.sub(recent, 1, 160))
if per_network > 0 then
    redis.call('HSET', KEYS[10], unpack(totals))
end
if shopper_full then
    redis.call('SET', KEYS[11], string.format('%.3f', shopper_full), 'PX', 2000)
end
if address_full then
    redis.call('SET', KEYS[12], string.format('%.3f', address_full), 'PX', 2000)
end
local ring = redis.call('SETNX', KEYS[8], entry)
return {'queued', ring}
