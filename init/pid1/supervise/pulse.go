package supervise

// Pulse decides from heartbeats whether a child is frozen, and whether the
// hardware watchdog may be petted. Time is counted in its owner's own ticks
// and not by a clock: a machine that was paused, or got no processor for a
// minute, ticked as little as its child did, and must not take that for a
// freeze.
type Pulse struct {
	Freeze   int // ticks of silence after which a child counts as frozen
	Kill     int // ticks of silence after which it is killed; more than Freeze
	Patience int // ticks that the machine may live without any beat

	child   int // ticks since the child beat or was started
	machine int // ticks since any child beat, or since the start
}

// Action is what to do about a child.
type Action int

// The actions.
const (
	Nothing Action = iota
	Dump           // frozen: ask for its goroutines (SIGQUIT, which also ends it)
	End            // frozen, and deaf to that: kill it
)

// Beat takes note of a heartbeat.
func (p *Pulse) Beat() { p.child, p.machine = 0, 0 }

// Started takes note of the start of a child. It has as long for its first
// beat as for every other, and the machine's patience is not renewed by it: a
// child that is started again and again and never beats is no control plane.
func (p *Pulse) Started() { p.child = 0 }

// Tick is to be called at a steady rate. It answers what to do about the
// child, if it runs, and whether the watchdog may be petted.
func (p *Pulse) Tick(runs bool) (action Action, alive bool) {
	p.machine++
	alive = p.machine < p.Patience
	if !runs {
		return Nothing, alive
	}
	p.child++
	switch {
	case p.child == p.Freeze:
		return Dump, alive
	case p.child >= p.Kill:
		return End, alive
	}
	return Nothing, alive
}
