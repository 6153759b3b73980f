// A notification service, to be. README.md is the brief, openapi.yaml the contract; the work begins where this answers 501.

const http = require("node:http");

const routes = [
  // Answers 200 once this replica can take requests.
  ["GET", /^\/healthz$/, (response) => say(response, 200, {})],
  // POST /v1/notifications {"user": u, "channel": c, "template": t, "data": {}, "priority": p, "send_after": ts}
  ["POST", /^\/v1\/notifications$/, notYet("Accept it (202). What must be true by then, if this process ends in the next millisecond?")],
  // GET /v1/notifications/{id}
  ["GET", /^\/v1\/notifications\/[^/]+$/, notYet("Say what has become of it. Which replica knows?")],
  // DELETE /v1/notifications/{id}
  ["DELETE", /^\/v1\/notifications\/[^/]+$/, notYet("Take it back (200), or say that it is too late (409). Who might be sending it just now?")],
  // PUT /v1/users/{user}/preferences {"email": b, "sms": b, "push": b}
  ["PUT", /^\/v1\/users\/[^/]+\/preferences$/, notYet("Keep what this user wants. Who has to know it within two seconds?")],
];

function say(response, status, body) {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify(body));
}

function notYet(hint) {
  return (response) => say(response, 501, { error: "not implemented", hint });
}

http
  .createServer((request, response) => {
    request.resume();
    const path = new URL(request.url, "http://localhost").pathname;
    const found = routes.find(([method, pattern]) => method === request.method && pattern.test(path));
    if (found) found[2](response);
    else say(response, 404, { error: "no such route" });
  })
  .listen(Number(process.env.PORT), "127.0.0.1");
