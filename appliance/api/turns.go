package api

import (
	"net/http"
	"time"
)

// turn is how long the answer to somebody whose turn it is may take on its way.
// Who does not read it in that time has lost it: others wait.
const turn = 2 * time.Minute

// inTurn answers one request after the other. It is for answers that hold the
// whole table: when twenty sessions had 10,000 services listed at once, on one
// processor, the reconciler came to no heartbeat within 20 seconds, and the
// control plane was taken for dead.
func inTurn(answer http.HandlerFunc) http.HandlerFunc {
	turns := make(chan struct{}, 1)
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case turns <- struct{}{}:
			defer func() { <-turns }()
		case <-r.Context().Done():
			return
		}
		// What is no connection, in a test or on a port, has no such deadline.
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Now().Add(turn))
		answer(w, r)
		_ = control.SetWriteDeadline(time.Time{})
	}
}
