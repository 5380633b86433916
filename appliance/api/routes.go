package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
)

// routeConfigurator adds the calls on configurations.
func routeConfigurator(mux *http.ServeMux, b Configurator) {
	mux.HandleFunc("GET /v1/candidates", answer(func(r *http.Request) (any, error) { return b.Candidates(r.Context()) }))
	mux.HandleFunc("POST /v1/candidates", asked(func(ctx context.Context, _ *http.Request, q openQuery) (any, error) {
		return b.OpenCandidate(ctx, q.Shared)
	}))
	mux.HandleFunc("DELETE /v1/candidates/{id}", answer(func(r *http.Request) (any, error) {
		return struct{}{}, b.CloseCandidate(r.Context(), r.PathValue("id"))
	}))
	mux.HandleFunc("POST /v1/candidates/{id}/edit", asked(func(ctx context.Context, r *http.Request, q Edit) (any, error) {
		return b.EditCandidate(ctx, r.PathValue("id"), q)
	}))
	mux.HandleFunc("POST /v1/candidates/{id}/path", asked(func(ctx context.Context, r *http.Request, q []string) (any, error) {
		return b.CandidatePath(ctx, r.PathValue("id"), q)
	}))
	mux.HandleFunc("POST /v1/candidates/{id}/show", asked(func(ctx context.Context, r *http.Request, q ShowQuery) (any, error) {
		return b.ShowCandidate(ctx, r.PathValue("id"), q)
	}))
	mux.HandleFunc("POST /v1/candidates/{id}/complete", asked(func(ctx context.Context, r *http.Request, q CompleteQuery) (any, error) {
		return b.CompleteCandidate(ctx, r.PathValue("id"), q)
	}))
	mux.HandleFunc("GET /v1/candidates/{id}/compare", answer(func(r *http.Request) (any, error) {
		return b.CompareCandidate(r.Context(), r.PathValue("id"), r.URL.Query().Get("with"))
	}))
	mux.HandleFunc("POST /v1/candidates/{id}/commit", asked(func(ctx context.Context, r *http.Request, q CommitOptions) (any, error) {
		return b.Commit(ctx, r.PathValue("id"), q)
	}))
	mux.HandleFunc("POST /v1/confirm", answer(func(r *http.Request) (any, error) { return b.Confirm(r.Context()) }))
	mux.HandleFunc("POST /v1/revert", answer(func(r *http.Request) (any, error) { return struct{}{}, b.Revert(r.Context()) }))
	mux.HandleFunc("POST /v1/config/show", asked(func(ctx context.Context, r *http.Request, q ShowQuery) (any, error) {
		return b.ShowConfig(ctx, r.URL.Query().Get("of"), q)
	}))
	mux.HandleFunc("POST /v1/config/complete", asked(func(ctx context.Context, r *http.Request, q CompleteQuery) (any, error) {
		return b.CompleteConfig(ctx, r.URL.Query().Get("of"), q)
	}))
	mux.HandleFunc("GET /v1/config/compare", answer(func(r *http.Request) (any, error) {
		return b.CompareConfigs(r.Context(), r.URL.Query().Get("from"), r.URL.Query().Get("to"))
	}))
	mux.HandleFunc("GET /v1/changes", answer(func(r *http.Request) (any, error) { return b.Changes(r.Context()) }))
	mux.HandleFunc("POST /v1/save", asked(func(ctx context.Context, _ *http.Request, q saveQuery) (any, error) {
		return b.Save(ctx, q.Comment)
	}))
	mux.HandleFunc("GET /v1/revisions", answer(func(r *http.Request) (any, error) { return b.Revisions(r.Context()) }))
	mux.HandleFunc("POST /v1/state-volume", asked(func(ctx context.Context, _ *http.Request, q formatQuery) (any, error) {
		return struct{}{}, b.FormatState(ctx, q.Device, q.Overwrite)
	}))
	mux.HandleFunc("GET /v1/host-keys", answer(func(r *http.Request) (any, error) { return b.HostKeys(r.Context()) }))
	mux.HandleFunc("POST /v1/host-keys", asked(func(ctx context.Context, _ *http.Request, q hostKeyQuery) (any, error) {
		return b.RotateHostKey(ctx, q.Step)
	}))
}

// The bodies of requests that have no type of their own.
type (
	openQuery struct {
		Shared bool `json:"shared"`
	}
	saveQuery struct {
		Comment string `json:"comment"`
	}
	hostKeyQuery struct {
		Step HostKeyStep `json:"step"`
	}
	formatQuery struct {
		Device    string `json:"device"`
		Overwrite bool   `json:"overwrite"`
	}
	sessionQuery struct {
		Session string `json:"session"`
		Lost    bool   `json:"lost"`
	}
)

// routeOperator adds the calls that show and operate.
func routeOperator(mux *http.ServeMux, b Operator) {
	mux.HandleFunc("POST /v1/program", runProgram(b))
	mux.HandleFunc("POST /v1/capture", capture(b))
	mux.HandleFunc("POST /v1/connections", func(w http.ResponseWriter, r *http.Request) {
		var q ConnectionQuery
		if err := read(r, &q); err != nil {
			fail(w, err)
			return
		}
		writeLines(w, b.Connections(r.Context(), q), false)
	})
	mux.HandleFunc("POST /v1/servers", asked(func(ctx context.Context, _ *http.Request, q ServerVerb) (any, error) { return b.SetServer(ctx, q) }))
	mux.HandleFunc("POST /v1/clear", asked(func(ctx context.Context, _ *http.Request, q ClearQuery) (any, error) { return b.Clear(ctx, q) }))
	mux.HandleFunc("POST /v1/names", asked(func(ctx context.Context, _ *http.Request, q NamesQuery) (any, error) { return b.Names(ctx, q) }))
	mux.HandleFunc("GET /v1/interfaces", answer(func(r *http.Request) (any, error) { return b.Interfaces(r.Context()) }))
	mux.HandleFunc("GET /v1/routes", answer(func(r *http.Request) (any, error) { return b.Routes(r.Context()) }))
	mux.HandleFunc("GET /v1/neighbours", answer(func(r *http.Request) (any, error) { return b.Neighbours(r.Context()) }))
	mux.HandleFunc("GET /v1/sysctls", answer(func(r *http.Request) (any, error) { return b.Sysctls(r.Context()) }))
	mux.HandleFunc("GET /v1/system", answer(func(r *http.Request) (any, error) { return b.System(r.Context()) }))
	mux.HandleFunc("GET /v1/timeouts", answer(func(r *http.Request) (any, error) { return b.Timeouts(r.Context()) }))
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, r *http.Request) {
		after, err := number(r, "after", 0, 0, math.MaxInt)
		if err != nil {
			fail(w, err)
			return
		}
		follow := r.URL.Query().Has("follow")
		writeLines(w, b.Events(r.Context(), after, follow), follow)
	})
	mux.HandleFunc("GET /v1/log/follow", func(w http.ResponseWriter, r *http.Request) {
		writeLines(w, b.FollowLog(r.Context()), true)
	})
}

// runProgram answers frames. Its standard input is the request's body.
func runProgram(b Operator) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		argv := r.URL.Query()["arg"]
		if len(argv) == 0 {
			fail(w, &Error{Message: "program: no arg says which"})
			return
		}
		// A program may write before it has read all. What is no connection,
		// in a test, needs no such leave.
		_ = http.NewResponseController(w).EnableFullDuplex()
		frames := newFrameWriter(w)
		status, err := b.Program(r.Context(), argv, r.Body, stream{frames, frameOut}, stream{frames, frameErr})
		if err != nil {
			// The client is gone when this fails, and needs no answer.
			_ = frames.frame(frameError, marshal(asError(err)))
			return
		}
		_ = frames.frame(frameExit, strconv.AppendInt(nil, int64(status), 10)) // as above
	}
}

// capture answers frames, the output being a pcap stream.
func capture(b Operator) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q CaptureQuery
		if err := read(r, &q); err != nil {
			fail(w, err)
			return
		}
		frames := newFrameWriter(w)
		if err := b.Capture(r.Context(), q, stream{frames, frameOut}); err != nil {
			// The client is gone when this fails, and needs no answer.
			_ = frames.frame(frameError, marshal(asError(err)))
			return
		}
		_ = frames.frame(frameExit, []byte("0")) // as above
	}
}

// routeGate adds the calls of the shell alone.
func routeGate(mux *http.ServeMux, b Gate) {
	mux.HandleFunc("GET /v1/access", answer(func(r *http.Request) (any, error) {
		generation, err := number(r, "newer-than", -1, -1, math.MaxInt)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(r.Context(), watchLimit)
		defer cancel()
		return b.Access(ctx, generation)
	}))
	mux.HandleFunc("GET /v1/host-key", answer(func(r *http.Request) (any, error) { return b.HostKey(r.Context()) }))
	mux.HandleFunc("POST /v1/host-key/offered", asked(func(ctx context.Context, _ *http.Request, q HostKeyOffer) (any, error) {
		return struct{}{}, b.HostKeyOffered(ctx, q)
	}))
	mux.HandleFunc("POST /v1/audit", asked(func(ctx context.Context, _ *http.Request, q AuditEntry) (any, error) {
		return struct{}{}, b.Audit(ctx, q)
	}))
	mux.HandleFunc("POST /v1/sessions/began", answer(func(r *http.Request) (any, error) {
		return struct{}{}, b.SessionBegan(r.Context())
	}))
	mux.HandleFunc("POST /v1/sessions/ended", asked(func(ctx context.Context, _ *http.Request, q sessionQuery) (any, error) {
		return struct{}{}, b.SessionEnded(ctx, q.Session, q.Lost)
	}))
}

// asked turns a function of a JSON body into a handler that answers JSON.
func asked[Q any](f func(context.Context, *http.Request, Q) (any, error)) http.HandlerFunc {
	return answer(func(r *http.Request) (any, error) {
		var q Q
		if err := read(r, &q); err != nil {
			return nil, err
		}
		return f(r.Context(), r, q)
	})
}

// acting puts the request's Actor into its context.
func acting(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := parseActor(r.Header.Get(actorHeader))
		if err != nil {
			fail(w, &Error{Message: fmt.Sprintf("%s: %v", actorHeader, err)})
			return
		}
		h.ServeHTTP(w, r.WithContext(WithActor(r.Context(), a)))
	})
}
