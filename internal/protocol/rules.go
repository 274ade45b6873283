package protocol

// Rules are what the protocol demands. Each false one is a weakening.
type Rules struct {
	OpenBeforeIndex   bool // a writer reads the index after its OPEN
	CondemnedIsAbsent bool // a writer takes for absent what is condemned
	CacheFollows      bool // what a cache of the index has of retired index files is not used
	WaitForOlder      bool // a DELETE waits for the writers opened before its CONDEMN
	Recheck           bool // what is needed is decided again before a DELETE
	FencedDelete      bool // a DELETE is void if more may be needed since that was decided
	FencedCondemn     bool // a CONDEMN is void if another collection came since it was decided
	FencedCommit      bool // a COMMIT of a session that has ended is void
	SafeParent        bool // no subtree is taken over unread that may need something condemned
	LeavesAreChecked  bool // that a node is there does not prove that its leaves are
	ListThenReplay    bool // who deletes objects reads the ledger after listing them
	OneState          bool // who deletes objects decides by one state of the ledger which sessions have ended and what is named
	SessionsKnown     bool // who deletes objects goes by the ledger, not by age, about whether a session has ended
	NamesNeverRecur   bool // nothing is stored under the name of something that was deleted
	UndoUntilDelete   bool // an UNFORGET after a DELETE is void
	LookAgain         bool // a reader that misses an object reads the ledger again
	ReadCondemned     bool // a reader uses condemned packs
	RepairFences      bool // nobody says that he will delete packs while a repair is open
	RepairCopies      bool // a repair stores anew what somebody said that he will delete
}

// Protocol returns the rules as they are.
func Protocol() Rules {
	return Rules{true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true}
}
