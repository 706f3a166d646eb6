"""What goes when: the policy for the records of jobs, and the collection of what nothing needs any more."""
