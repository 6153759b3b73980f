// A notification service, to be. README.md is the brief, openapi.yaml the contract; the work begins where this answers 501.
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
	// {"user": u, "channel": c, "template": t, "data": {}, "priority": p, "send_after": ts}
	mux.HandleFunc("POST /v1/notifications", notYet("Accept it (202). What must be true by then, if this process ends in the next millisecond?"))
	mux.HandleFunc("GET /v1/notifications/{id}", notYet("Say what has become of it. Which replica knows?"))
	mux.HandleFunc("DELETE /v1/notifications/{id}", notYet("Take it back (200), or say that it is too late (409). Who might be sending it just now?"))
	// {"email": b, "sms": b, "push": b}
	mux.HandleFunc("PUT /v1/users/{user}/preferences", notYet("Keep what this user wants. Who has to know it within two seconds?"))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), mux))
}
