// A rate limiter that keeps its counters to itself. What the routes answer; the decision is in limiter.go.
package main

import (
	"encoding/json"
	"io"
	"log"
	"math"
	"net/http"
	"os"
	"regexp"
	"strings"
)

const (
	mostBytes = 64 << 10
	mostUnits = 1<<53 - 1
)

var keys = regexp.MustCompile(`^[A-Za-z0-9:_-]{1,128}$`)

type object = map[string]any

func say(w http.ResponseWriter, status int, body object) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Print(err)
	}
}

// body is the JSON object of a request, or nil.
func body(r *http.Request) object {
	if !strings.Contains(r.Header.Get("Content-Type"), "json") {
		return nil
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, mostBytes+1))
	if err != nil || len(raw) > mostBytes {
		return nil
	}
	var found object
	if json.Unmarshal(raw, &found) != nil {
		return nil
	}
	return found
}

func whole(value any, least float64) (int64, bool) {
	number, ok := value.(float64)
	ok = ok && number == math.Trunc(number) && number >= least && number <= mostUnits
	return int64(number), ok
}

func main() {
	limits, mux := newLimiter(), http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { say(w, 200, object{}) })
	mux.HandleFunc("PUT /v1/limits/{key}", func(w http.ResponseWriter, r *http.Request) {
		asked, key := body(r), r.PathValue("key")
		units, good := whole(asked["limit"], 1)
		windowMs, also := whole(asked["window_ms"], 100)
		if !good || !also || !keys.MatchString(key) {
			say(w, 400, object{"error": "a limit of at least 1 and a window of at least 100 ms"})
			return
		}
		limits.set(key, limit{units, windowMs})
		say(w, 200, object{"limit": units, "window_ms": windowMs})
	})
	mux.HandleFunc("POST /v1/check", func(w http.ResponseWriter, r *http.Request) {
		asked := body(r)
		key, named := asked["key"].(string)
		cost, good := int64(1), true
		if value, there := asked["cost"]; there {
			cost, good = whole(value, 1)
		}
		if !named || !good || !keys.MatchString(key) {
			say(w, 400, object{"error": "a key, and a cost of at least 1"})
			return
		}
		found := limits.spend(key, cost)
		switch {
		case !found.known:
			say(w, 404, object{"error": "no limit was set for this key"})
		case found.allowed:
			say(w, 200, object{"allowed": true, "remaining": found.limit.units - found.used})
		default:
			say(w, 429, object{"allowed": false, "retry_after_ms": found.retryAfterMs})
		}
	})
	mux.HandleFunc("GET /v1/usage/{key}", func(w http.ResponseWriter, r *http.Request) {
		found := limits.spend(r.PathValue("key"), 0)
		if !found.known {
			say(w, 404, object{"error": "no limit was set for this key"})
			return
		}
		say(w, 200, object{"used": found.used, "limit": found.limit.units, "window_ms": found.limit.windowMs})
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), mux))
}
