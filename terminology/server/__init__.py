"""A terminology server without HTTP: code systems, value sets and concept maps, and the questions that are asked of
them (R4B 4.7 to 4.11, and the requirements of HL7's terminology ecosystem). Pure but for reading index files."""
