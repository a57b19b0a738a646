"""What treedock keeps below <git common dir>/treedock: records, runs, snapshots, locks."""
