package appliance

import (
	"fmt"
	"sync"
)

// lazyTable opens the kernel's IPVS when a role first wants it: the kernel of a
// machine that was a real server all the time is left alone.
type lazyTable struct {
	open func() (TableKernel, error)

	mu   sync.Mutex
	held TableKernel
}

// get answers the table, and opens it if it is not open yet.
func (l *lazyTable) get() (TableKernel, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil {
		return l.held, nil
	}
	table, err := l.open()
	if err != nil {
		return nil, fmt.Errorf("ipvs: %w", err)
	}
	l.held = table
	return table, nil
}

// opened answers the table if it is open, nil if not.
func (l *lazyTable) opened() TableKernel {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

// forget has the table looked at when it is next wanted, if it is open.
func (l *lazyTable) forget() {
	if table := l.opened(); table != nil {
		table.Forget()
	}
}
