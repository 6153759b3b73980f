// The decision: a sliding log per key, a sorted set in Redis, decided there in one atomic script.

const Redis = require("ioredis");

const TIMEOUT_MS = 250;
const SPEND = `
local limit, window_ms = unpack(redis.call('HMGET', KEYS[1], 'limit', 'window_ms'))
if not limit then return {-1} end
limit, window_ms = tonumber(limit), tonumber(window_ms)
local cost = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], 0, now - window_ms)
local used = redis.call('ZCARD', KEYS[2])
if cost > limit then return {0, used, limit, window_ms, window_ms} end
if used + cost > limit then -- there is room when enough of the oldest have left
  local last = redis.call('ZRANGE', KEYS[2], used + cost - limit - 1, used + cost - limit - 1, 'WITHSCORES')
  return {0, used, limit, window_ms, last[2] + window_ms - now + 1}
end
for unit = 1, cost do redis.call('ZADD', KEYS[2], now, ARGV[2] .. ':' .. unit) end
if cost > 0 then redis.call('PEXPIRE', KEYS[2], window_ms) end
return {1, used + cost, limit, window_ms, 0}`;

const redis = new Redis(process.env.REDIS_URL, {
  commandTimeout: TIMEOUT_MS,
  connectTimeout: TIMEOUT_MS,
  maxRetriesPerRequest: 0, // a check that was sent twice could count twice
  enableOfflineQueue: false,
  retryStrategy: () => 100,
});
redis.on("error", () => {}); // every command says so itself
redis.defineCommand("spend", { numberOfKeys: 2, lua: SPEND });

let sent = 0;
const me = `${process.pid}-${Date.now()}`;

exports.setLimit = (key, limit, windowMs) => redis.hset(`limit:${key}`, "limit", limit, "window_ms", windowMs);

// Consumes `cost` units, all or none; a cost of 0 only asks. null where no limit was set.
exports.spend = async (key, cost) => {
  sent += 1;
  const [allowed, used, limit, windowMs, wait] = await redis.spend(
    `limit:${key}`, `log:${key}`, Math.min(cost, 1_000_000), `${me}:${sent}`,
  );
  return allowed === -1 ? null : { allowed: allowed === 1, used, limit, windowMs, retryAfterMs: Math.ceil(Number(wait)) };
};
