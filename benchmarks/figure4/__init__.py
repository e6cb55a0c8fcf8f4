"""The paper's Figure 4 (section 4.4): recommendation recall against speed-up, of CML and of matrix factorization."""
