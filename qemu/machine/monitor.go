package machine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
)

// Event is something that QEMU reports (QEMU QMP Reference, "Events").
type Event struct {
	Name string         // "SHUTDOWN", "RESET", "WATCHDOG", "POWERDOWN", ...
	Data map[string]any // {"guest": true, "reason": "guest-shutdown"}
}

// monitor speaks QMP (QEMU, docs/interop/qmp-spec).
type monitor struct {
	conn net.Conn

	mu      sync.Mutex
	nextID  int
	waiting map[int]chan message
	events  []Event
	ended   bool          // the connection is gone
	changed chan struct{} // closed and replaced when events or ended change
}

// message is anything that QEMU sends.
type message struct {
	Greeting *json.RawMessage `json:"QMP"`
	ID       *int             `json:"id"`
	Return   json.RawMessage  `json:"return"`
	Error    *struct {
		Class       string `json:"class"`
		Description string `json:"desc"`
	} `json:"error"`
	Event string         `json:"event"`
	Data  map[string]any `json:"data"`
}

var errMonitorEnded = errors.New("qemu has closed its monitor")

func newMonitor(ctx context.Context, conn net.Conn) (*monitor, error) {
	m := &monitor{conn: conn, waiting: make(map[int]chan message), changed: make(chan struct{})}
	go m.receive()
	// QEMU's greeting needs no waiting for: commands queue behind it.
	if _, err := m.execute(ctx, "qmp_capabilities", nil); err != nil {
		conn.Close()
		return nil, err
	}
	return m, nil
}

func (m *monitor) receive() {
	decoder := json.NewDecoder(bufio.NewReader(m.conn))
	for {
		var received message
		if err := decoder.Decode(&received); err != nil {
			m.end()
			return
		}
		m.handle(received)
	}
}

func (m *monitor) handle(received message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case received.Event != "":
		m.events = append(m.events, Event{received.Event, received.Data})
		m.announce()
	case received.ID != nil:
		if answer, ok := m.waiting[*received.ID]; ok {
			answer <- received // buffered
			delete(m.waiting, *received.ID)
		}
	}
}

func (m *monitor) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	for id, answer := range m.waiting {
		close(answer)
		delete(m.waiting, id)
	}
	m.announce()
}

// announce wants the lock held.
func (m *monitor) announce() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *monitor) execute(ctx context.Context, command string, arguments any) (json.RawMessage, error) {
	answer, err := m.send(command, arguments)
	if err != nil {
		return nil, fmt.Errorf("monitor: %s: %w", command, err)
	}
	select {
	case received, ok := <-answer:
		switch {
		case !ok:
			return nil, fmt.Errorf("monitor: %s: %w", command, errMonitorEnded)
		case received.Error != nil:
			return nil, fmt.Errorf("monitor: %s: %s (%s)", command, received.Error.Description, received.Error.Class)
		}
		return received.Return, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("monitor: %s: %w", command, ctx.Err())
	}
}

func (m *monitor) send(command string, arguments any) (<-chan message, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return nil, errMonitorEnded
	}
	m.nextID++
	request, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        int    `json:"id"`
	}{command, arguments, m.nextID})
	if err != nil {
		return nil, err
	}
	if _, err := m.conn.Write(append(request, '\n')); err != nil {
		return nil, err
	}
	answer := make(chan message, 1)
	m.waiting[m.nextID] = answer
	return answer, nil
}

func (m *monitor) await(ctx context.Context, wanted func(Event) bool) (Event, error) {
	for seen := 0; ; {
		events, ended, changed := m.state()
		if i := slices.IndexFunc(events[seen:], wanted); i >= 0 {
			return events[seen+i], nil
		}
		seen = len(events)
		if ended {
			return Event{}, fmt.Errorf("%w, after events %v", errMonitorEnded, events)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Event{}, fmt.Errorf("%w, after events %v", ctx.Err(), events)
		}
	}
}

func (m *monitor) state() (events []Event, ended bool, changed <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events), m.ended, m.changed
}

func (m *monitor) close() { m.conn.Close() }
