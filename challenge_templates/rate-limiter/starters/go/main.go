// A rate limiter, to be. README.md is the brief, openapi.yaml the contract; the work begins where this answers 501.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
)

func say(w http.ResponseWriter, status int, body map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Print(err)
	}
}

func notYet(hint string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		say(w, http.StatusNotImplemented, map[string]string{"error": "not implemented", "hint": hint})
	}
}

func main() {
	mux := http.NewServeMux()
	// Answers 200 once this replica can take requests.
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { say(w, http.StatusOK, nil) })
	// {"limit": N, "window_ms": W}
	mux.HandleFunc("PUT /v1/limits/{key}", notYet("Keep the limit of this key. Who else has to know it within a second?"))
	// {"key": k, "cost": c}
	mux.HandleFunc("POST /v1/check", notYet("Allow it (200) or refuse it (429). Who counts, and what if two replicas count at the same moment?"))
	mux.HandleFunc("GET /v1/usage/{key}", notYet("Say how much of the limit is used in the current window, over all replicas."))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), mux))
}
