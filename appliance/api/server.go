package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"
)

// MaxConfigSize is the largest configuration that the socket takes, in bytes.
const MaxConfigSize = 16 << 20

// maxLogLines is how many lines GET /v1/log answers at most.
const maxLogLines = 10_000

// watchLimit bounds how long GET /v1/status?newer-than= waits for news.
const watchLimit = 30 * time.Second

// Backend answers what the socket is asked. An *Error is shown to the caller
// as it is, with status 422; any other error is the appliance's own fault.
type Backend interface {
	// Status answers at once when the status is newer than revision, and
	// waits for a change otherwise. On ctx's end it answers what there is.
	Status(ctx context.Context, newerThan int) Status
	Boot(ctx context.Context) ([]BootStep, error)
	Config(ctx context.Context) ([]byte, error)
	// Apply makes yaml the running configuration, or with dryRun says what
	// would be done. It is applied as a whole or not at all.
	Apply(ctx context.Context, yaml []byte, dryRun bool) (Applied, error)
	Services(ctx context.Context) ([]Service, error)
	// Log answers the last lines of the machine's log.
	Log(ctx context.Context, lines int) ([]string, error)
	Run(ctx context.Context, cmd Command) (CommandResult, error)
	End(ctx context.Context, how Power) error
}

// Serve answers on l until ctx ends.
func Serve(ctx context.Context, l net.Listener, b Backend) error {
	s := &http.Server{
		Handler:           Handler(b),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withPeer,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() {
		// The listener is all that Close can fail on, and it is going away.
		_ = s.Close()
	})
	defer stop()
	err := s.Serve(&guarded{l, slog.Default(), map[uint32]bool{}})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("control socket: %w", err)
}

// Handler is the socket's HTTP interface. docs/api.md lists its calls.
func Handler(b Backend) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", status(b))
	mux.HandleFunc("GET /v1/boot", answer(func(r *http.Request) (any, error) { return b.Boot(r.Context()) }))
	mux.HandleFunc("GET /v1/services", inTurn(answer(func(r *http.Request) (any, error) { return b.Services(r.Context()) })))
	mux.HandleFunc("GET /v1/log", answer(func(r *http.Request) (any, error) {
		lines, err := number(r, "lines", 100, 0, maxLogLines)
		if err != nil {
			return nil, err
		}
		return b.Log(r.Context(), lines)
	}))
	mux.HandleFunc("GET /v1/config", showConfig(b))
	mux.HandleFunc("PUT /v1/config", answer(applyConfig(b)))
	mux.HandleFunc("POST /v1/debug", answer(func(r *http.Request) (any, error) {
		var cmd Command
		if err := read(r, &cmd); err != nil {
			return nil, err
		}
		return b.Run(r.Context(), cmd)
	}))
	mux.HandleFunc("POST /v1/power", answer(func(r *http.Request) (any, error) {
		var how Power
		if err := read(r, &how); err != nil {
			return nil, err
		}
		if how != Reboot && how != PowerOff {
			return nil, &Error{Message: fmt.Sprintf("power: %q: expected %q or %q", how, Reboot, PowerOff)}
		}
		return struct{}{}, b.End(r.Context(), how)
	}))
	// What a backend does not offer has no path.
	if c, ok := b.(Configurator); ok {
		routeConfigurator(mux, c)
	}
	if o, ok := b.(Operator); ok {
		routeOperator(mux, o)
	}
	if g, ok := b.(Gate); ok {
		routeGate(mux, g)
	}
	mux.HandleFunc("/", unknown)
	return acting(mux)
}

// unknown refuses a call that is none, or that this backend does not offer.
func unknown(w http.ResponseWriter, r *http.Request) {
	write(w, http.StatusNotFound, &Error{Message: fmt.Sprintf("%s %s: there is no such call", r.Method, r.URL.Path)})
}

func status(b Backend) http.HandlerFunc {
	return answer(func(r *http.Request) (any, error) {
		revision, err := number(r, "newer-than", -1, -1, math.MaxInt)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(r.Context(), watchLimit)
		defer cancel()
		return b.Status(ctx, revision), nil
	})
}

func showConfig(b Backend) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		yaml, err := b.Config(r.Context())
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/yaml")
		// The client is gone when this fails, and needs no answer.
		_, _ = w.Write(yaml)
	}
}

func applyConfig(b Backend) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		yaml, err := io.ReadAll(io.LimitReader(r.Body, MaxConfigSize+1))
		if err != nil {
			return nil, &Error{Message: fmt.Sprintf("configuration: reading it: %v", err)}
		}
		if len(yaml) > MaxConfigSize {
			return nil, &Error{Message: fmt.Sprintf("configuration: larger than %d bytes", MaxConfigSize)}
		}
		return b.Apply(r.Context(), yaml, r.URL.Query().Has("dry-run"))
	}
}

// answer turns a function into a handler that answers JSON.
func answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		if err != nil {
			fail(w, err)
			return
		}
		write(w, http.StatusOK, v)
	}
}

func fail(w http.ResponseWriter, err error) {
	var refused *Error
	if errors.As(err, &refused) {
		write(w, http.StatusUnprocessableEntity, refused)
		return
	}
	write(w, http.StatusInternalServerError, &Error{Message: err.Error()})
}

func write(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// The client is gone when this fails, and needs no answer.
	_ = json.NewEncoder(w).Encode(v)
}

func read(r *http.Request, v any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, MaxConfigSize))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return &Error{Message: fmt.Sprintf("request body: %v", err)}
	}
	return nil
}

// number reads a query parameter that lies between lowest and highest.
func number(r *http.Request, name string, otherwise, lowest, highest int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < lowest || n > highest {
		return 0, &Error{Message: fmt.Sprintf("%s: %q: expected a number from %d to %d", name, text, lowest, highest)}
	}
	return n, nil
}
