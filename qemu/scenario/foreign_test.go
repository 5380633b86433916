package scenario

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"dipper/appliance/api"
	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// screenWidth is a line of a PC's screen in text mode.
const screenWidth = 80

// sitter sits at a machine's screen and keyboard.
type sitter struct {
	t       *testing.T
	ctx     context.Context
	machine *machine.Machine
	client  *api.Client
}

// screen is what is to be seen, without the blanks at the ends of lines.
func (s sitter) screen() string {
	s.t.Helper()
	seen, err := s.client.Run(s.ctx, "cat", "/dev/vcs1") // vcs(4)
	if err != nil {
		s.t.Fatal(err)
	}
	var lines []string
	for text := seen.Stdout; len(text) >= screenWidth; text = text[screenWidth:] {
		lines = append(lines, strings.TrimRight(text[:screenWidth], " "))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// sees waits until a text is on the screen behind the last of another, which
// was there before. The kernel may say something behind both.
func (s sitter) sees(before, text string) {
	s.t.Helper()
	for {
		seen := s.screen()
		if at := strings.LastIndex(seen, before); at >= 0 && strings.Contains(seen[at+len(before):], text) {
			return
		}
		if s.ctx.Err() != nil {
			s.t.Fatalf("%q does not come behind %q; the screen:\n%s", text, before, seen)
		}
	}
}

// types presses keys, as fast as the machine reads them: an answer of it comes
// after it has.
func (s sitter) types(text string) {
	s.t.Helper()
	for len(text) > 0 {
		n := min(len(text), machine.TypedAtOnce)
		if err := s.machine.Type(s.ctx, text[:n]); err != nil {
			s.t.Fatal(err)
		}
		text = text[n:]
		if _, err := s.client.Status(s.ctx); err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestScreenAndForeignPrograms sets a machine up at its screen and keyboard, and
// uses it from another with programs that nobody here wrote.
func TestScreenAndForeignPrograms(t *testing.T) {
	d := find(t, "s2-dr").load(t)
	client, director := d.Node("client"), d.Node("director")
	d.Nodes = []*lab.Node{client, director}
	client.Script = dhcpAndKeys
	director.Config, director.Ready, director.After = nil, []api.State{api.Maintenance}, []string{"client"}
	director.Change = func(m *machine.Config) error {
		m.Screen = true
		m.CommandLine = "console=tty0 " + m.CommandLine
		return nil
	}
	c := lab.StartT(t, d)
	ctx := patience(t)
	setUpAtScreen(sitter{t, ctx, c.Machine("director"), c.Appliance("director")})
	joe := &administrator{t: t, ctx: ctx, cluster: c, user: "admin"}
	joe.awaitSSH() // it comes after the address
	t.Run("shared connection", func(t *testing.T) { testSharedConnection(t, joe) })
	t.Run("capture", func(t *testing.T) { testCapture(t, joe) })
}

func setUpAtScreen(s sitter) {
	s.t.Helper()
	s.sees("== maintenance", `Enter to set this machine up, or "shell":`)
	s.types("\n")
	for _, turn := range []struct{ question, answer string }{
		{"Role [director]:", ""},
		{"Name of this machine [lb1]:", "lb7"},
		{"Interface [eth0]:", ""},
		{"Its address, with the length of its network's prefix, or dhcp:", "192.168.4.5/24"},
		{"Default gateway [none]:", ""},
		{"VIP, with the port of the service:", "192.168.4.15:80"},
		{"How to reach the real servers: dr, nat or tun [dr]:", ""},
		{"Real server 1, Enter when there are no more:", "192.168.4.100"},
		{"Real server 2, Enter when there are no more:", ""},
		{"Public key", "http://192.168.4.10/joe.keys"},
		{"One more key", ""},
		{"Password of the user admin:", "Correct_Horse"},
		{"Commit this? [yes]:", ""},
	} {
		s.asked(turn.question)
		s.types(turn.answer + "\n")
	}
	s.sees("== lb7 == director, serving", "lb7 login:")
	s.types("admin\n")
	s.sees("admin", "Password:")
	s.types("Correct_Horse\n")
	s.asked("admin@lb7")
	s.types("sh vers\t | count\n")
	s.sees("| count", "\n2\nadmin@lb7")
	s.types("exit\n")
	s.sees("> exit", "lb7 login:")
}

// asked waits until the last line begins with a text. The kernel is quiet while
// somebody answers.
func (s sitter) asked(text string) {
	s.t.Helper()
	for {
		seen := s.screen()
		if strings.HasPrefix(seen[strings.LastIndexByte(seen, '\n')+1:], text) {
			return
		}
		if s.ctx.Err() != nil {
			s.t.Fatalf("%q does not come; the screen:\n%s", text, seen)
		}
	}
}

// testSharedConnection runs commands and sftp over one connection of OpenSSH's
// client, beside a display that goes on.
func testSharedConnection(t *testing.T, joe *administrator) {
	out, err := joe.cluster.Peer("client").Run(joe.ctx, fmt.Sprintf(`
exec 2>&1
ssh() { command ssh %[1]s -o ControlPath=/tmp/shared "$@"; }
ssh -o ControlMaster=yes -f -N admin@192.168.4.5
mkfifo /tmp/live
ssh admin@192.168.4.5 monitor rates interval 1s > /tmp/live &
exec 3< /tmp/live
read -r first <&3
ssh -T admin@192.168.4.5 show version
ssh admin@192.168.4.5 show nonsense > /dev/null || echo "status $?"
printf 'get running.yaml /tmp/got.yaml\n' | sftp -q -b - %[1]s -o ControlPath=/tmp/shared admin@192.168.4.5 > /dev/null
head -n 1 /tmp/got.yaml
ssh admin@192.168.4.5 show users | grep -c admin
ssh -O exit admin@192.168.4.5
wait $! || true
`, sshOptions))
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"Dipper", "status 2", "role: director", "\n2\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
}

// testCapture pipes what passes an interface into Debian's tcpdump, which shows
// each packet when it comes, and ends the capture by leaving: the next packet finds
// nobody to show it. What carries the capture is not captured: of TCP, tcpdump
// passes what has data.
func testCapture(t *testing.T, joe *administrator) {
	out, err := joe.cluster.Peer("client").Run(joe.ctx, fmt.Sprintf(`
(ssh %[1]s admin@192.168.4.5 capture any icmp or tcp port 22 | timeout 300 tcpdump -l -n -c 2 -r - icmp or greater 100 > /tmp/packets 2> /dev/null; touch /tmp/left) &
while ! test -e /tmp/left; do ping -c 1 192.168.4.5 > /dev/null; done
wait
cat /tmp/packets
echo users
until ssh %[1]s admin@192.168.4.5 show users | tee /tmp/users | grep -c ' 192.168.4.10 ' | grep -qx 1; do :; done # the capture's session ends soon
cat /tmp/users`, sshOptions))
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	request, reply := " In  IP 192.168.4.10 > 192.168.4.5: ICMP echo request", " Out IP 192.168.4.5 > 192.168.4.10: ICMP echo reply"
	packets, users, _ := strings.Cut(out, "users\n")
	if !strings.Contains(packets, request) || !strings.Contains(packets, reply) || strings.Count(users, " 192.168.4.10 ") != 1 {
		t.Errorf("got:\n%s", out)
	}
}
