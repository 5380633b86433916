package shell

import (
	"context"
	"log/slog"
	"net"
	goruntime "runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"dipper/appliance/api"
	"dipper/shell/access"
	"dipper/shell/session"
)

// Conversation is what goes on in a session: prompts until the user leaves, or
// one command. *session.Session is one.
type Conversation interface {
	Interact(ctx context.Context) error
	Exec(ctx context.Context, command string) int
}

// Begin makes a Conversation of a Session that says who it is and how to reach
// him.
type Begin func(s session.Session) Conversation

// SSH is the SSH server. It lets in whom api.Access says, listens where it
// says, and follows every change of it: who is not let in any more is thrown
// out.
type SSH struct {
	Gate  api.Gate
	Begin Begin
	Files Files // what sftp and scp see
	Log   *slog.Logger
	// Times are the server's patience; the zero value: that of a machine in
	// service.
	Times Times

	rules     atomic.Pointer[access.Rules]
	hostKeys  atomic.Pointer[hostKeys]
	idle      atomic.Int64 // time.Duration; 0: for ever
	handshake atomic.Int64 // time.Duration
	sessions  atomic.Int64 // over all connections
	door      *access.Door
	guesses   *access.Guesses
	free      func() (uint64, error) // bytes of memory that programs could have
	checking  chan struct{}          // holds a token while a password is being checked
	audits    chan audit
	teller    *teller
	refusals  refusals
	listeners *listeners
	problems  map[string]bool // of the rules, as they were told; Run's own

	mu          sync.Mutex
	connections map[*connection]struct{}
	running     sync.WaitGroup
}

// Times are how long the server waits for what.
type Times struct {
	Handshake time.Duration // from the connection to the login, where Access says nothing
	Keepalive time.Duration // between questions whether the client is there; three unanswered ones end it
	Denial    time.Duration // from a wrong password to the answer
	Retry     time.Duration // after a failure: of the control socket, of listening
}

// Limits where Access names none. Strangers are those who did not log in yet.
const (
	defaultConnections = 64
	defaultPerAddress  = 16
	defaultPerMinute   = 60
	maxStrangers       = 32
)

// Run serves until ctx ends. Nothing is done before the control plane answers.
func (s *SSH) Run(ctx context.Context) error {
	s.prepare()
	ctx, cancel := context.WithCancel(ctx)
	defer s.running.Wait()
	defer s.endAll("the machine's shell ends")
	defer cancel()
	s.listeners = newListeners(ctx, s.Log, s.Times.Retry, s.arrived)
	defer s.listeners.close()
	s.teller = newTeller(s.Gate, s.Log, ctx.Done())
	s.running.Go(s.teller.run)
	s.running.Go(func() { s.runAudits(ctx) })
	generation := -1
	for ctx.Err() == nil {
		a, err := s.Gate.Access(ctx, generation)
		if err != nil {
			// The control plane is being restarted, and counts from the start
			// then. Who was let in before it stays.
			generation = -1
			pause(ctx, s.Times.Retry)
			continue
		}
		if a.Generation == generation {
			continue // nothing new within the time that the server waits
		}
		if s.adopt(ctx, a) {
			generation = a.Generation
		} else {
			pause(ctx, s.Times.Retry)
		}
	}
	return nil
}

func (s *SSH) prepare() {
	if s.Times == (Times{}) {
		s.Times = Times{Handshake: 30 * time.Second, Keepalive: 15 * time.Second, Denial: 2 * time.Second, Retry: time.Second}
	}
	s.door, s.guesses = access.NewDoor(), access.NewGuesses()
	s.checking = make(chan struct{}, 1)
	if s.free == nil {
		s.free = memoryFree
	}
	s.audits = make(chan audit, 64)
	s.connections = map[*connection]struct{}{}
}

// adopt makes a the rules. It reports whether it could: without a host key
// there is nothing to listen with.
func (s *SSH) adopt(ctx context.Context, a api.Access) bool {
	rules, problems := access.Compile(a)
	s.tellProblems(problems)
	if err := s.loadHostKey(ctx, len(a.Listen) > 0); err != nil {
		s.Log.Error("ssh: no host key, not listening", "error", err)
		return false
	}
	s.door.SetLimits(access.Limits{
		Connections: orDefault(a.MaxConnections, defaultConnections),
		PerAddress:  orDefault(a.MaxPerAddress, defaultPerAddress),
		Strangers:   maxStrangers,
		PerMinute:   orDefault(a.MaxPerMinute, defaultPerMinute),
	})
	s.handshake.Store(int64(s.Times.Handshake))
	if a.HandshakeTimeout > 0 {
		s.handshake.Store(int64(a.HandshakeTimeout))
	}
	s.idle.Store(int64(a.IdleTimeout))
	s.rules.Store(rules)
	s.endRevoked(rules)
	s.listeners.set(a.Listen)
	return true
}

// tellProblems notes what of the rules is ignored, once: who finds himself
// locked out asks somebody else to look among the events.
func (s *SSH) tellProblems(problems []error) {
	now := map[string]bool{}
	for _, p := range problems {
		text := "access: " + p.Error()
		if now[text] = true; !s.problems[text] {
			s.note(api.Actor{}, text, "")
		}
	}
	s.problems = now
}

func orDefault(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return n
}

// arrived takes a connection that a client has made, or closes it.
func (s *SSH) arrived(ctx context.Context, raw net.Conn) {
	from := addressOf(raw)
	c := &connection{server: s, raw: raw, from: from, id: newID(), done: make(chan struct{})}
	visitor, err := s.door.Enter(from, time.Now(), func() { c.end("made room for another before login") })
	if err != nil {
		s.refused(from, "", err)
		closeQuietly(raw)
		return
	}
	c.visitor = visitor
	s.mu.Lock()
	s.connections[c] = struct{}{}
	s.mu.Unlock()
	s.running.Go(func() {
		defer func() {
			s.mu.Lock()
			delete(s.connections, c)
			s.mu.Unlock()
			visitor.Leave()
		}()
		defer s.survive("connection from " + from.String())
		c.serve(ctx)
	})
}

// survive turns a panic in one connection into a line of the log: the others
// have nothing to do with it.
func (s *SSH) survive(what string) {
	if r := recover(); r != nil {
		s.Log.Error("ssh: BUG: panic", "in", what, "panic", r, "stack", string(goruntime.Stack()))
	}
}

// endRevoked throws out whom the rules would not let in any more.
func (s *SSH) endRevoked(rules *access.Rules) {
	for _, c := range s.all() {
		if g, ok := c.granted(); ok && !rules.Holds(g) {
			// One that does not read must not keep the others in.
			s.running.Go(func() { c.dismiss("access was taken back") })
		}
	}
}

func (s *SSH) endAll(why string) {
	for _, c := range s.all() {
		c.end(why)
	}
}

func (s *SSH) all() []*connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*connection
	for c := range s.connections {
		all = append(all, c)
	}
	return all
}
