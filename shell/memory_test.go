package shell

import (
	"errors"
	"strings"
	"testing"

	"dipper/appliance/api"
	"dipper/shell/access"
)

// TestNoMemoryForAPassword: a right password is refused where its hash has no
// room, also to nobody's name, and is right where it has.
func TestNoMemoryForAPassword(t *testing.T) {
	// Both hashes are of "secret"; the first takes 19 MiB.
	rules, problems := access.Compile(api.Access{Users: []api.User{
		{Name: "ann", Role: api.Admin, PasswordHash: "$argon2id$v=19$m=19456,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$CKwiYBYlIk7kxHj7SQuOJn9R16Dfsf/mpWTA620WX+c"},
		{Name: "bob", Role: api.Admin, PasswordHash: "$2a$04$z2tCfHT7tOnDtnI85ez.7ehWzh8kJtVtv/veKhKIk6rbY4gFHvmzu"},
	}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, tt := range []struct {
		user string
		free uint64
		want error
	}{
		{"ann", 64 << 20, nil},
		{"ann", 35 << 20, nil},
		{"ann", 34 << 20, errNoMemory},
		{"bob", 1 << 20, nil},
		{"nobody", 34 << 20, errNoMemory},
		{"nobody", 64 << 20, access.ErrDenied},
	} {
		free := func() (uint64, error) { return tt.free, nil }
		if _, err := lookAt(rules, free, tt.user, "secret"); !errors.Is(err, tt.want) {
			t.Errorf("%s with %d MiB: %v, want %v", tt.user, tt.free>>20, err, tt.want)
		}
	}
	_, err := lookAt(rules, func() (uint64, error) { return 20 << 20, nil }, "ann", "secret")
	if err == nil || !strings.Contains(err.Error(), "(19 MiB, and 20 MiB are free)") {
		t.Errorf("got %v", err)
	}
	if free, err := memoryFree(); err != nil || free == 0 {
		t.Errorf("this machine has %d bytes (%v)", free, err)
	}
}

func TestMemoryAvailable(t *testing.T) {
	const total, free, buffers = "MemTotal:        2027140 kB\n", "MemFree:          113348 kB\n", "Buffers:           90920 kB\n"
	for _, tt := range []struct {
		meminfo string
		want    uint64
		err     string
	}{
		{total + free + "MemAvailable:    1284064 kB\n" + buffers, 1284064 << 10, ""},
		{"MemAvailable:          0 kB", 0, ""},
		{total + free, 0, "no MemAvailable"},
		{total + "MemAvailable:    a lot\n", 0, `MemAvailable: strconv.ParseUint: parsing "a lot"`},
	} {
		got, err := memoryAvailable(tt.meminfo)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: got %d, %v; want %d, %q", tt.meminfo, got, err, tt.want, tt.err)
		}
	}
}
