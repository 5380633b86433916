// Package call is what the lab and the agent in a peer say to each other: JSON
// values, one a line, over a virtio-serial port.
//
// It is shared by both ends and so knows neither.
package call

// Port is the name of the virtio-serial port.
const Port = "lab.agent"

// MaxOutput is how much of each output stream an answer carries, in bytes. The
// rest is dropped and Answer.Truncated set.
const MaxOutput = 1 << 20

// Request asks the agent to run a script with sh. Several may be under way.
type Request struct {
	ID     int64  `json:"id"` // chosen by the lab, never twice on one connection
	Script string `json:"script,omitempty"`
	Stdin  string `json:"stdin,omitempty"`
	Cancel bool   `json:"cancel,omitempty"` // ends the request with this ID instead
}

// Answer is what became of the request with the same ID.
type Answer struct {
	ID        int64  `json:"id"`
	Stdout    string `json:"stdout,omitempty"`
	Stderr    string `json:"stderr,omitempty"`
	Truncated bool   `json:"truncated,omitempty"`
	Exit      int    `json:"exit"`            // status of the script; 128 plus the signal that ended it
	Error     string `json:"error,omitempty"` // why the script could not be run at all
}
