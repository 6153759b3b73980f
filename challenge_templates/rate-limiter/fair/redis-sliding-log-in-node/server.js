// A rate limiter whose counters live in Redis. What the routes answer; the decision is in limiter.js.

const http = require("node:http");
const limiter = require("./limiter");

const MOST_BYTES = 64 * 1024;
const KEY = /^[A-Za-z0-9:_-]{1,128}$/;

class BadInput extends Error {}

function whole(value, least) {
  if (!Number.isSafeInteger(value) || value < least) throw new BadInput(`a whole number of at least ${least}`);
  return value;
}

function named(key) {
  if (typeof key !== "string" || !KEY.test(key)) throw new BadInput("a key of 1 to 128 letters, digits, : _ -");
  return key;
}

async function bodyOf(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size <= MOST_BYTES) chunks.push(chunk);
  }
  if (size > MOST_BYTES || !/json/.test(request.headers["content-type"] || "")) throw new BadInput("a small JSON body");
  let body;
  try {
    body = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)));
  } catch {
    throw new BadInput("not JSON");
  }
  if (body === null || typeof body !== "object" || Array.isArray(body)) throw new BadInput("not a JSON object");
  return body;
}

async function answer(request) {
  const [, , place, key] = request.url.split("/");
  if (request.method === "GET" && request.url === "/healthz") return [200, {}];
  if (request.method === "GET" && place === "usage") {
    const found = await limiter.spend(named(key), 0);
    return found ? [200, { used: found.used, limit: found.limit, window_ms: found.windowMs }] : [404, { error: "unknown key" }];
  }
  if (request.method === "PUT" && place === "limits") {
    const body = await bodyOf(request);
    const [limit, windowMs] = [whole(body.limit, 1), whole(body.window_ms, 100)];
    await limiter.setLimit(named(key), limit, windowMs);
    return [200, { limit, window_ms: windowMs }];
  }
  if (request.method === "POST" && place === "check") {
    const body = await bodyOf(request);
    const found = await limiter.spend(named(body.key), whole("cost" in body ? body.cost : 1, 1));
    if (!found) return [404, { error: "unknown key" }];
    return found.allowed
      ? [200, { allowed: true, remaining: found.limit - found.used }]
      : [429, { allowed: false, retry_after_ms: found.retryAfterMs }];
  }
  return [404, { error: "no such route" }];
}

http
  .createServer(async (request, response) => {
    let [status, body] = [503, { error: "the store does not answer" }];
    try {
      [status, body] = await answer(request);
    } catch (error) {
      if (error instanceof BadInput) [status, body] = [400, { error: error.message }];
    }
    const text = JSON.stringify(body);
    response.writeHead(status, {
      "Content-Type": "application/json",
      "Content-Length": Buffer.byteLength(text),
      ...(status === 503 ? { "Retry-After": "1" } : {}),
    });
    response.end(text);
  })
  .listen(Number(process.env.PORT), "127.0.0.1");
