package config

// Kind is the shape of a part of the configuration.
type Kind string

// The shapes that a key's value can have.
const (
	KindSection  Kind = "section"  // a mapping with the keys Keys
	KindEntries  Kind = "entries"  // a mapping from names that the user chooses to sections with the keys Keys
	KindSections Kind = "sections" // a list of sections with the keys Keys, told apart by Identity
	KindValues   Kind = "values"   // a list of values
	KindValue    Kind = "value"    // one value
)

// ValueType is what a value is, apart from its limits.
type ValueType string

// The types of values.
const (
	TypeText     ValueType = "text"     // any text
	TypeWord     ValueType = "word"     // a name or another text without spaces
	TypeChoice   ValueType = "choice"   // one of Allowed
	TypeBoolean  ValueType = "boolean"  // true or false
	TypeNumber   ValueType = "number"   // from Low to High
	TypeDuration ValueType = "duration" // a time with its unit from Low to High: 100ms, 2m
	TypeAddress  ValueType = "address"  // an IP address
	TypePrefix   ValueType = "prefix"   // an address with its prefix length, or a network
	TypeEndpoint ValueType = "endpoint" // an address with a port, or with a part of both left out
	TypeMAC      ValueType = "mac"      // a MAC address
	TypeMask     ValueType = "mask"     // an IPv4 netmask: 255.255.255.0
)

// Reference is what a value names: completion offers what there is of it.
type Reference string

// What values can name.
const (
	RefInterface Reference = "interface" // a key of network.interfaces
)

// Schema describes one key of the configuration and all that is below it. It
// is made of the tables that Parse reads by.
type Schema struct {
	Name string // the key; "" for the root
	Kind Kind
	Help string // one line, without a full stop

	// Sections, entries and lists of sections.
	Keys     []Schema // in the order of the reference
	Identity []string // sections: the keys that tell the items apart, those that may be missing last
	Entry    string   // entries: what the name is, "the name of a service"

	// Values and lists of values.
	Type      ValueType
	Expected  string    // as an error says it: "a weight from 0 to 2147483647"
	Unit      string    // number: "bytes", "seconds"; "" for a mere count
	Low, High string    // number and duration: bounds as one writes them
	Allowed   []string  // choice: the words; number: none
	Default   string    // as one writes it, or what happens: "the service's"; "" when there is none
	Example   string    // one valid value, as one writes it in the shell
	Reference Reference // what the value names
	Single    bool      // values: a single value may stand for a list of one
	Required  bool
	Secret    bool // never shown
}

// Find returns what is below s at a path of keys. The names of entries and the
// positions of items are left out of the path: {"services", "scheduler"}.
func (s Schema) Find(path ...string) (Schema, bool) {
	for _, name := range path {
		next, ok := s.key(name)
		if !ok {
			return Schema{}, false
		}
		s = next
	}
	return s, true
}

func (s Schema) key(name string) (Schema, bool) {
	for _, k := range s.Keys {
		if k.Name == name {
			return k, true
		}
	}
	return Schema{}, false
}

// Describe returns the schema of the whole configuration.
func Describe() Schema {
	top := tableOf((*fileConfig).keys)
	return Schema{Kind: KindSection, Keys: describe(top.keys())}
}

func describe(keys []key) []Schema {
	all := make([]Schema, len(keys))
	for i, k := range keys {
		all[i] = k.about()
		all[i].Name, all[i].Help = k.name, k.help
	}
	return all
}

// Schedulers are the names of all schedulers.
func Schedulers() []string { return schedulers() }

// Protocols are all that a service can have.
func Protocols() []Protocol { return protocols() }

// FlagNames are the three flags of a scheduler, in the order of the kernel's.
func FlagNames(scheduler string) [3]string { return flagsOf(scheduler) }
