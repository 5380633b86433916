package session

import "context"

// helpText is what help says.
const helpText = `Words may be shortened as long as they are unique: "sh serv" is "show services".
  ?            what may come next, at any place of a line
  Tab          complete a word or a value
  Ctrl-C       end a command; Ctrl-D leave; Ctrl-R search what was typed
  a | match x  only lines with x (a regular expression); also except, count,
               first, last, json, exact, no-more
  a; b         two commands, the second only when the first succeeded

show status              what this machine is and how it is
show services            virtual services and real servers
monitor services         the same, live
server NAME drain        no new connections for a real server
configure                change the configuration:
  set, delete            change settings; the words are those of the boot config
  compare                what would change, down to the kernel's edits
  commit confirmed 10m   make it so, and undo it unless "confirm" comes in time
  rollback N             go back to a revision ("run show revisions")
`

func help(_ context.Context, c *call) error {
	c.printf("%s", helpText)
	return nil
}
